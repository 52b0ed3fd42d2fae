package test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/renest/renest/test/criu"
)

// criuUser drives a CRIU that all users may execute.
type criuUser struct {
	path string
	// within is a process in whose pid and mount namespace renest runs, 0 for ours.
	within int
}

func newCRIU(t *testing.T) *criuUser {
	t.Helper()
	i := criu.Require(t)
	requireNetfilter(t)
	// It is run by the root of a user namespace, who cannot look into the home of
	// the host's.
	dir := publicDir(t)
	if out, err := exec.Command("cp", "-r", i.Dir, filepath.Join(dir, "criu")).CombinedOutput(); err != nil {
		t.Fatalf("copy CRIU: %v\n%s", err, out)
	}
	bin := filepath.Join(dir, "criu", "bin")
	t.Setenv("PATH", bin+":"+os.Getenv("PATH")) // CRIU looks there for ip
	return &criuUser{path: filepath.Join(bin, "criu")}
}

// publicDir makes a folder that any user can look into.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(builds.dir, "criu-") //nolint:usetesting // t.TempDir is below a folder of the user's alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// long tells whether a case is left out of short runs, where all but some are.
func long(name string, short ...string) bool { return testing.Short() && !slices.Contains(short, name) }

// rootfs makes the root directory of a service, with one in it for another, and so on.
func (c *criuUser) rootfs(t *testing.T) string {
	t.Helper()
	dir := publicDir(t)
	b, err := os.ReadFile(program(t, "counter"))
	if err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{"", "inner", "inner/inner"} {
		for _, d := range []string{"proc", "tmp", "scratch"} {
			if err := os.MkdirAll(filepath.Join(dir, root, d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(filepath.Join(dir, root, "tmp"), 0o777|os.ModeSticky); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, root, "counter"), b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// restoredTasks is what criu restore says.
type restoredTasks struct {
	restored
	pids []int
}

func (c *criuUser) restore(t *testing.T, dir, name string) restoredTasks {
	t.Helper()
	out := c.renest(t, "criu", "restore", "--criu", c.path, "-D", dir, "--name", name)
	t.Cleanup(func() {
		if standing(t, name) {
			c.renest(t, "rm", name)
		}
	})
	wantNoMountPoints(t, dir)
	var r restoredTasks
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		pid, err := strconv.Atoi(f[len(f)-1])
		if err != nil || len(f) != 2 {
			t.Fatalf("criu restore says %q", out)
		}
		r.pids = append(r.pids, pid)
	}
	if c.within != 0 {
		r.pids = c.outside(t, r.pids)
		return r
	}
	var all []restored
	if err := json.Unmarshal([]byte(renest(t, 0, "ps", "--json")), &all); err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if a.Name == name {
			r.restored = a
		}
	}
	return r
}

// wantNoMountPoints wants nothing in /tmp of the mount points that CRIU made there, to put
// namespaces together at. Its logs name them.
func wantNoMountPoints(t *testing.T, dir string) {
	t.Helper()
	one, _ := filepath.Glob(filepath.Join(dir, "restore.log"))
	more, _ := filepath.Glob(filepath.Join(dir, "layer-*", "restore.log"))
	for _, log := range append(one, more...) {
		b, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		point := regexp.MustCompile(`/tmp/\.criu\.mntns\.\w{6}`).FindString(string(b))
		if _, err := os.Stat(point); !os.IsNotExist(err) {
			t.Errorf("%q, which %s names, is there: %v", point, log, err)
		}
	}
}

// compareShapes asks the kernel whether what was there before is there again.
func compareShapes(t *testing.T, before shape, r restored) {
	t.Helper()
	live, after := map[string]string{}, shape{}
	for _, n := range r.Namespaces {
		if n.Path == "" {
			continue
		}
		got, err := after.add(n.Path)
		if err != nil {
			t.Fatalf("%s: %v", n.Image, err)
		}
		if got != n.Live {
			t.Errorf("%s: %s leads to %s, not to %s", n.Image, n.Path, got, n.Live)
		}
		live[n.Image] = n.Live
	}
	for name := range taskShape(t, []int{os.Getpid()}) { // the host's are as before
		delete(before, name)
		delete(after, name)
	}
	if diff := cmp.Diff(before.translate(live), after); diff != "" {
		t.Errorf("owners and parents, by ioctl (-before +after):\n%s", diff)
	}
}

// renestFails runs renest where it is to fail, and returns what it says.
func renestFails(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(program(t, "renest"), args...).CombinedOutput()
	if err == nil {
		t.Errorf("renest %s succeeds", strings.Join(args, " "))
	}
	return string(out)
}
