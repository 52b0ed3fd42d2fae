package test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/renest/renest/test/require"
)

// TestOthers has nsenter, ip netns and OCI runtimes go into restored namespaces, by
// the paths that renest tells.
func TestOthers(t *testing.T) {
	require.Root(t)
	for _, program := range []string{"nsenter", "runc", "crun", "ip"} {
		pkg := map[string]string{"nsenter": "util-linux", "ip": "iproute2"}[program]
		if pkg == "" {
			pkg = program
		}
		require.Command(t, program, pkg)
	}
	inSandbox(t, testOthers)
}

func testOthers(t *testing.T) {
	r, blue, linux := restorePinned(t)
	pin := "/run/netns/renest-blue"
	t.Run("nsenter", func(t *testing.T) {
		for _, n := range r.Namespaces {
			kind, _, _ := strings.Cut(n.Live, ":")
			if kind == "mnt" || kind == "time" {
				continue
			}
			args := []string{"--" + kind + "=" + n.Path, "readlink", "/proc/self/ns/" + kind}
			if kind == "pid" { // children are in it, and this /proc does not know them
				args = []string{"--pid=" + n.Path, "readlink", "/proc/self/ns/pid_for_children"}
			}
			out, err := exec.Command("nsenter", args...).CombinedOutput()
			if got := strings.TrimSpace(string(out)); kind != "pid" && got != n.Live || err != nil && kind != "pid" {
				t.Errorf("nsenter %s: %s, %v, want %s", args, got, err, n.Live)
			}
		}
	})
	t.Run("ip", func(t *testing.T) {
		if out, err := exec.Command("ip", "netns", "list").CombinedOutput(); err != nil || !strings.Contains(string(out), "renest-blue") {
			t.Errorf("ip netns list: %s, %v", out, err)
		}
		out, err := exec.Command("ip", "netns", "exec", "renest-blue", "readlink", "/proc/self/ns/net").CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != blue {
			t.Errorf("ip netns exec: %s, %v, want %s", got, err, blue)
		}
	})
	for _, runtime := range []string{"runc", "crun"} {
		for where, namespaces := range linux {
			if runtime == "runc" && where == "innermost" {
				continue // runc 1.1 enters the user namespace first, and then nothing of what is above
			}
			t.Run(runtime+" "+where, func(t *testing.T) { runThere(t, runtime, namespaces) })
		}
	}
	renest(t, 0, "rm", r.Name)
	if _, err := os.Lstat(pin); !os.IsNotExist(err) {
		t.Errorf("%s after rm: %v", pin, err)
	}
	// What runtimes left to the first process of the sandbox, which is this.
	waitFor(t, "all that runtimes left have ended", func() bool {
		_, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		return err == unix.ECHILD
	})
}

// restorePinned makes a nest whose net namespace is bind-mounted as ip netns would,
// and brings it back. It returns what that is now, and what a runtime is to be told
// for the outermost and the innermost container.
func restorePinned(t *testing.T) (_ restored, blue string, _ map[string][]specs.LinuxNamespace) {
	t.Helper()
	dir := t.TempDir()
	c := startContainer(t, "runc", deepSpec())
	pin := "/run/netns/renest-blue"
	if err := os.Mkdir(filepath.Dir(pin), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(pin, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	was := nameAt(t, specs.NetworkNamespace, fmt.Sprintf("/proc/%d/ns/net", c.pid))
	mustRun(t, "mount", "--bind", fmt.Sprintf("/proc/%d/ns/net", c.pid), pin)
	renest(t, 0, "dump", "-t", strconv.Itoa(c.pid), "-D", dir)
	mustRun(t, "umount", pin)
	if err := os.RemoveAll(filepath.Dir(pin)); err != nil {
		t.Fatal(err)
	}
	c.destroy(t)

	name := uniqueName("others")
	out := renest(t, 0, "restore", "--json", "-d", "--name", name, "--pins", "original", "-D", dir)
	var r struct {
		restored
		Linux struct{ Namespaces []specs.LinuxNamespace }
	}
	decode(t, out, &r)
	linux := map[string][]specs.LinuxNamespace{"innermost": r.Linux.Namespaces}
	for _, n := range r.Namespaces {
		if n.Image == was {
			blue = n.Live
		}
		if strings.HasPrefix(n.Image, "pid:") && linux["outermost"] == nil {
			var outer struct {
				Linux struct{ Namespaces []specs.LinuxNamespace }
			}
			decode(t, renest(t, 0, "ps", "--oci", name+"/"+n.Image), &outer)
			linux["outermost"] = outer.Linux.Namespaces
		}
	}
	return r.restored, blue, linux
}

func decode(t *testing.T, text string, to any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), to); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}

func mustRun(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// runThere runs a container in the given namespaces, which says where it is.
func runThere(t *testing.T, runtime string, namespaces []specs.LinuxNamespace) {
	t.Helper()
	busybox := require.Busybox(t)
	if runtime == "runc" { // knows time namespaces from 1.2 on
		namespaces = slices.DeleteFunc(slices.Clone(namespaces), func(n specs.LinuxNamespace) bool { return n.Type == specs.TimeNamespace })
	}
	bundle := makeBundle(t, spec{})
	copyProgram(t, busybox, filepath.Join(bundle, "rootfs/bin/busybox"))
	config := bundleConfig(spec{}).(map[string]any)
	delete(config, "hostname")
	process := config["process"].(map[string]any)
	process["args"] = []string{"/bin/busybox", "sh", "-c", "for n in user pid net ipc uts cgroup; do busybox readlink /proc/self/ns/$n; done; busybox id -u"}
	ids := mapping(t, namespaces)
	config["linux"] = map[string]any{"namespaces": namespaces, "uidMappings": ids, "gidMappings": ids}
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	c := container{runtime: runtime, id: uniqueName("renest-there-" + runtime)}
	defer c.delete(t)
	run := c.command("run", "--no-new-keyring", "--bundle", bundle, c.id)
	run.Stdin = strings.NewReader("") // runtimes give their stdin to the container's root, and be it the host's /dev/null
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", runtime, err, out)
	}
	want := map[string]string{}
	for _, n := range namespaces {
		if n.Path == "" || n.Type == specs.TimeNamespace {
			continue
		}
		want[string(n.Type)] = nameAt(t, n.Type, n.Path)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	got := map[string]string{}
	for i, kind := range []string{"user", "pid", "network", "ipc", "uts", "cgroup"} {
		if _, ok := want[kind]; ok && i < len(lines) {
			got[kind] = lines[i]
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || lines[len(lines)-1] != "0" {
		t.Errorf("the container is elsewhere (-want +got):\n%s%s", diff, out)
	}
}

// nameAt returns the name of the namespace that a path leads to, be it a link or a
// bind mount.
func nameAt(t *testing.T, kind specs.LinuxNamespaceType, path string) string {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	if kind == specs.NetworkNamespace {
		kind = "net"
	}
	return fmt.Sprintf("%s:[%d]", kind, st.Ino)
}

// mapping returns the ids of the user namespace, as older runtimes want to be told
// beside its path.
func mapping(t *testing.T, namespaces []specs.LinuxNamespace) []specs.LinuxIDMapping {
	t.Helper()
	for _, n := range namespaces {
		if n.Type != specs.UserNamespace {
			continue
		}
		text, err := os.ReadFile(filepath.Dir(filepath.Dir(n.Path)) + "/uid_map")
		if err != nil {
			t.Fatal(err)
		}
		var m specs.LinuxIDMapping
		if _, err := fmt.Sscan(string(text), &m.ContainerID, &m.HostID, &m.Size); err != nil {
			t.Fatal(err)
		}
		return []specs.LinuxIDMapping{m}
	}
	t.Fatal("there is no user namespace")
	return nil
}
