package test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/test/criu"
	"github.com/renest/renest/test/require"
)

// shapeTree is a running tree that program shape has made.
type shapeTree struct {
	root  int            // the process named root
	names map[string]int // by name
	stop  func()         // ends all of it
}

// startShape makes a tree of the given tokens, separated by blanks: see shape.c.
// It ends with the test.
func startShape(t *testing.T, tokens string) shapeTree {
	t.Helper()
	require.Root(t)
	requireNetfilter(t)
	cmd := exec.Command(shapeProgram(t), strings.Fields(tokens)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: new(syscall.Credential)} // no supplementary groups
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := shapeTree{names: map[string]int{}}
	var over sync.Once
	s.stop = func() {
		over.Do(func() {
			_ = in.Close()
			_ = cmd.Wait()
		})
	}
	t.Cleanup(s.stop)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		name, number, _ := strings.Cut(lines.Text(), " ")
		if name == "ready" {
			if s.root = s.names["root"]; s.root == 0 || !alive(s.root) {
				s.stop()
				t.Fatalf("shape %s: %s", tokens, stderr.String())
			}
			return s
		}
		if s.names[name], err = strconv.Atoi(number); err != nil {
			t.Fatalf("shape says %q", lines.Text())
		}
	}
	s.stop()
	t.Fatalf("shape %s: %s", tokens, stderr.String())
	return s
}

// shapeRoot makes a root file system for shape's pivot, which is a mount, as
// CRIU's --root wants it.
func shapeRoot(t *testing.T) string {
	t.Helper()
	require.Root(t)
	requireNetfilter(t)
	dir, err := os.MkdirTemp(builds.dir, "root-") //nolint:usetesting // other users have to get there
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, dir + "/proc", dir + "/tmp"} {
		if err := errors.Join(os.MkdirAll(d, 0o755), os.Chmod(d, 0o777)); err != nil {
			t.Fatal(err)
		}
	}
	copyProgram(t, shapeProgram(t), filepath.Join(dir, "shape"))
	if err := errors.Join(os.WriteFile(dir+"/null", nil, 0o666), os.Chmod(dir+"/null", 0o666)); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(unix.Unmount(dir, unix.MNT_DETACH), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// criuDir is a directory of CRIU's images.
type criuDir struct {
	dir  string
	root string // of the tree's mount namespace
	criu criu.Installation
	env  []string // beside the test's own
	args []string // of every run
}

func newCRIUDir(t *testing.T, root string) criuDir {
	t.Helper()
	return criuDir{dir: t.TempDir(), root: root, criu: criu.Require(t)}
}

// run runs criu and returns what is in its log. The error is its exit status.
func (d criuDir) run(t *testing.T, action string, args ...string) (string, error) {
	t.Helper()
	args = append([]string{
		action, "--no-default-config", "-D", d.dir, "-v4", "-o", action + ".log", "--manage-cgroups=ignore",
	}, append(slices.Clone(d.args), args...)...)
	cmd := exec.CommandContext(t.Context(), d.criu.Path(), args...)
	cmd.Env = append(os.Environ(), d.env...)
	_, err := cmd.CombinedOutput()
	data, readErr := os.ReadFile(filepath.Join(d.dir, action+".log"))
	if readErr != nil {
		t.Fatalf("criu %s: %v: %v", action, err, readErr)
	}
	return string(data), err
}

// dump runs criu dump on the tree of a process. nftables lock the network where
// iptables(8) are not installed.
func (d criuDir) dump(t *testing.T, pid int, args ...string) (string, error) {
	t.Helper()
	return d.run(t, "dump", append([]string{"-t", strconv.Itoa(pid), "--network-lock", "nftables"}, args...)...)
}

// restore runs criu restore and returns the pid of the tree, which ends with the
// test.
func (d criuDir) restore(t *testing.T, args ...string) (int, string, error) {
	t.Helper()
	// The tree's parent is whoever started CRIU, or the next subreaper.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) }()
	file := filepath.Join(d.dir, "pid")
	_ = os.Remove(file) // CRIU makes a new one
	before := len(children(os.Getpid()))
	log, err := d.run(t, "restore", append([]string{"-d", "--root", d.root, "--pidfile", file}, args...)...)
	if err != nil {
		waitFor(t, "what CRIU has left ends", func() bool {
			pid, _ := unix.Wait4(-1, nil, unix.WNOHANG, nil)
			return pid <= 0 && len(children(os.Getpid())) <= before
		})
		return 0, log, err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.end(t, pid) })
	return pid, log, nil
}

// end kills what was restored.
func (d criuDir) end(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) }()
	pids := tree(t, pid)
	for _, p := range pids {
		_ = unix.Kill(p, unix.SIGKILL)
	}
	// Each comes here when its parent has ended, unless that is there to reap it.
	for deadline := time.Now().Add(time.Minute); len(pids) > 0; {
		pids = slices.DeleteFunc(pids, func(p int) bool {
			_, _ = unix.Wait4(p, nil, unix.WNOHANG, nil)
			return unix.Kill(p, 0) != nil
		})
		if time.Now().After(deadline) {
			t.Fatalf("pids %v do not end", pids)
		}
		time.Sleep(time.Millisecond)
	}
}

// errorsOf are the lines of a log that say what went wrong.
func errorsOf(log string) string {
	var b strings.Builder
	for line := range strings.Lines(log) {
		if strings.Contains(line, "Error (") && !strings.Contains(line, "tables") && !strings.Contains(line, "RLIMIT") {
			b.WriteString(line)
		}
	}
	return b.String()
}
