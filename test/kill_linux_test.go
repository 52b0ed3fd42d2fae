package test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
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

// TestKilled kills a restore at moments of chance and expects that nothing is left
// of it. It runs again as the first process of a pid and a mount namespace of its
// own: there, whatever is left has nowhere to hide.
func TestKilled(t *testing.T) {
	if os.Getenv(sandboxVariable) != "" {
		testKilled(t)
		return
	}
	program(t, "renest") // built here, where go can
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestKilled$", "-test.v")
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

func testKilled(t *testing.T) {
	enterSandbox(t)
	t.Setenv("TMPDIR", "/run")
	t.Setenv("XDG_RUNTIME_DIR", "/run")
	before := remains(t)
	image := killImage(t)
	clean := append(before, "file "+image)
	slices.Sort(clean)
	waitClean(t, clean, "after the nest's end")

	// How long it takes undisturbed is the span that the moments fall in.
	const name = "killed"
	span := time.Hour
	for range 3 {
		start := time.Now()
		if code := restoreKilled(t, image, name, time.Hour); code != 0 {
			t.Fatalf("undisturbed: exit code %d", code)
		}
		span = min(span, time.Since(start))
		renest(t, 0, "rm", name)
		waitClean(t, clean, "after rm")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, a restore takes %s", seed, span)
	random := rand.New(rand.NewPCG(seed, 0))
	for kills, tries := 0, 0; kills < 10; tries++ {
		if tries == 200 {
			t.Fatal("too few kills came in time")
		}
		moment := time.Duration(random.Int64N(int64(span)))
		code := restoreKilled(t, image, name, moment)
		if code < 0 {
			kills++
			t.Logf("killed at %s", moment)
		}
		if standing(t, name) {
			// It was finished, and then it is whole.
			renest(t, 0, "diff", image, "live:"+name)
			renest(t, 0, "rm", name)
		} else if code == 0 {
			t.Errorf("restore exited 0, and ps does not list the tree")
		}
		waitClean(t, clean, fmt.Sprintf("after a kill at %s, exit code %d", moment, code))
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

// killImage makes an image of a nest, and ends the nest.
func killImage(t *testing.T) string {
	t.Helper()
	s := deepSpec()
	if os.Geteuid() != 0 {
		s = userSpec()
	}
	cmd := exec.Command(program(t, "nest"), s.String())
	stop := startNest(t, cmd)
	image := filepath.Join("/run", "killed.img")
	renest(t, 0, "dump", "-t", fmt.Sprint(cmd.Process.Pid), "-o", image)
	stop()
	return image
}

// restoreKilled restores an image, kills renest after a while, and returns its
// exit code, -1 where the kill came in time.
func restoreKilled(t *testing.T, image, name string, after time.Duration) int {
	t.Helper()
	var output bytes.Buffer
	cmd := exec.Command(program(t, "renest"), "restore", "-d", "--name", name, image)
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.WaitDelay = 10 * time.Second // a tree that stands must not hold its output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	timer.Stop()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("restore: %v\n%s", err, output.String())
	}
	if code := cmd.ProcessState.ExitCode(); code > 0 {
		t.Fatalf("restore: exit code %d\n%s", code, output.String())
	}
	return cmd.ProcessState.ExitCode()
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

func waitClean(t *testing.T, want []string, when string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		diff := cmp.Diff(want, remains(t))
		if diff == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s there remains (-want +got):\n%s", when, diff)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
