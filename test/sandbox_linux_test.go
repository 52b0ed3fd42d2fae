package test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// sandboxVariable marks the process that a test runs again in a sandbox.
const sandboxVariable = "RENEST_SANDBOX"

// inSandbox runs test where the calling test runs again in a sandbox.
func inSandbox(t *testing.T, test func(*testing.T)) {
	t.Helper()
	if os.Getenv(sandboxVariable) != "" {
		enterSandbox(t)
		t.Setenv("TMPDIR", "/run")
		t.Setenv("XDG_RUNTIME_DIR", "/run")
		test(t)
		return
	}
	program(t, "renest") // built here, where go can
	args := []string{"-test.run=^" + t.Name() + "$", "-test.v", fmt.Sprintf("-test.short=%t", testing.Short()), fmt.Sprintf("-every=%t", *every)}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), sandboxVariable+"=1",
		programsVariable+"="+filepath.Dir(program(t, "renest")))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
	if uid := os.Geteuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		m := []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings = m, m
		cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN} // for the sandbox's mounts
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("in the sandbox: %v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, ".go:") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

// enterSandbox makes the sandbox's own /proc and /run.
func enterSandbox(t *testing.T) {
	t.Helper()
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
	}{
		{"", "/", "", unix.MS_REC | unix.MS_PRIVATE},
		{"proc", "/proc", "proc", 0},
		{"run", "/run", "tmpfs", 0},
	} {
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, ""); err != nil {
			t.Fatalf("mount %s: %v", m.target, err)
		}
	}
}

// remains lists everything a restore could leave: processes, mounts, files.
func remains(t *testing.T) []string {
	t.Helper()
	reap()
	var all []string
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, proc := range procs {
		comm, err := os.ReadFile(filepath.Join(proc, "comm"))
		if err == nil {
			all = append(all, "process "+filepath.Base(proc)+" "+strings.TrimSpace(string(comm)))
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		all = append(all, "mount "+strings.TrimSpace(line))
	}
	err = filepath.WalkDir("/run", func(path string, _ fs.DirEntry, err error) error {
		all = append(all, "file "+path)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // it may go while it is looked at
		t.Fatal(err)
	}
	slices.Sort(all)
	return slices.DeleteFunc(all, func(s string) bool { return s == "file /run/renest" })
}

// reap reaps what the sandbox's first process has inherited.
func reap() {
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if pid <= 0 && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// waitClean waits until there remains what was there before, and perhaps what may.
func waitClean(t *testing.T, want []string, when string, may ...string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		got := slices.DeleteFunc(remains(t), func(s string) bool { return slices.Contains(may, s) })
		want = slices.DeleteFunc(slices.Clone(want), func(s string) bool { return !slices.Contains(got, s) && wentElsewhere(s) })
		diff := cmp.Diff(want, got)
		if diff == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s there remains (-want +got):\n%s", when, diff)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// sandboxImage makes an image of a nest, ends the nest, and says what there is
// before anything else happens.
func sandboxImage(t *testing.T) (image string, clean []string) {
	t.Helper()
	before := remains(t)
	s := deepSpec()
	if os.Geteuid() != 0 {
		s = userSpec()
	}
	cmd := exec.Command(program(t, "nest"), s.String())
	stop := startNest(t, cmd)
	image = filepath.Join("/run", "nest.img")
	renest(t, 0, "dump", "-t", fmt.Sprint(cmd.Process.Pid), "-o", image)
	stop()
	clean = append(before, "file "+image)
	slices.Sort(clean)
	waitClean(t, clean, "after the nest's end")
	return image, clean
}

// wentElsewhere reports whether a mount, as remains lists it, is one whose directory
// somebody outside of the sandbox has removed: the kernel ends such a mount everywhere.
func wentElsewhere(s string) bool {
	fields := strings.Fields(s)
	if len(fields) < 6 || fields[0] != "mount" {
		return false
	}
	_, err := os.Lstat(fields[5])
	return errors.Is(err, fs.ErrNotExist)
}
