//go:build linux && (amd64 || arm64)

package restore_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/restore"
)

// Environment variables by which this binary tells itself what to be: in a mount
// namespace of its own already, one of the programs of helpers, one of two
// processes that share a test.
const (
	sandboxVariable = "RENEST_RESTORE_SANDBOX"
	helperVariable  = "RENEST_RESTORE_HELPER"
	halfVariable    = "RENEST_RESTORE_HALF"
)

// nobody is the ordinary user.
const nobody = 65534

// TestMain runs the tests where their /run is no one else's, and fails where they
// leave a descriptor, a process, a mount or a record behind.
func TestMain(m *testing.M) {
	if name := os.Getenv(helperVariable); name != "" {
		os.Exit(helpers[name](os.Args[1:]))
	}
	if os.Geteuid() == 0 && os.Getenv(sandboxVariable) == "" {
		os.Exit(inSandbox())
	}
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// inSandbox runs this binary again in a mount namespace.
func inSandbox() int {
	runtime.LockOSThread() // Pdeathsig is about the thread
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), sandboxVariable+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return max(exit.ExitCode(), 1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "run the tests in a mount namespace:", err)
		return 1
	}
	return 0
}

// run prepares what the tests need and runs them.
func run(m *testing.M) (int, error) {
	if os.Geteuid() == 0 && os.Getenv(halfVariable) == "" {
		if err := privateRun(); err != nil {
			return 1, err
		}
	}
	dir, err := os.MkdirTemp("", "renest-restore-test-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if err := os.Setenv("XDG_RUNTIME_DIR", dir); err != nil {
		return 1, err
	}
	// Whatever is orphaned here becomes a child of this process.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 1, fmt.Errorf("prctl PR_SET_CHILD_SUBREAPER: %w", err)
	}
	before := openFDs()
	code := m.Run()
	if code != 0 {
		return code, nil
	}
	if left := childrenLeft(); left != "" {
		return 1, errors.New(left)
	}
	if after := openFDs(); after != before {
		return 1, fmt.Errorf("open descriptors before:\n%s\nafter:\n%s", before, after)
	}
	if _, err := os.Stat(restore.StateDir()); err == nil {
		return 1, fmt.Errorf("%s is still there", restore.StateDir())
	}
	return 0, nil
}

// privateRun gives the mount namespace a /run of its own.
func privateRun() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make / private: %w", err)
	}
	if err := os.MkdirAll("/run", 0o755); err != nil {
		return err
	}
	if err := unix.Mount("run", "/run", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	return nil
}

// openFDs lists the open descriptors, without those of the runtime.
func openFDs() string {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, e := range entries {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || strings.HasPrefix(to, "anon_inode:[event") || strings.HasPrefix(to, "anon_inode:[pidfd") || to == "pidfd:[1]" {
			continue
		}
		fmt.Fprintln(&b, e.Name(), to)
	}
	return b.String()
}

// noChildren fails a test that leaves processes behind, even such as others would
// inherit: this process is their subreaper.
func noChildren(t testing.TB) {
	t.Helper()
	if left := childrenLeft(); left != "" {
		t.Fatal(left)
	}
}

// childrenLeft reaps children until there are none, and describes those that do
// not end.
func childrenLeft() string {
	deadline := time.Now().Add(time.Minute)
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		switch {
		case err == unix.ECHILD:
			return ""
		case err != nil && err != unix.EINTR:
			return fmt.Sprintf("wait4: %v", err)
		case pid > 0:
			continue
		}
		if time.Now().After(deadline) {
			return "processes are left:\n" + children()
		}
		time.Sleep(time.Millisecond)
	}
}

// children lists the processes whose parent is this one.
func children() string {
	var b strings.Builder
	all, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, file := range all {
		text, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(text), fmt.Sprintf("\nPPid:\t%d\n", os.Getpid())) {
			name, _, _ := strings.Cut(string(text), "\n")
			fmt.Fprintln(&b, filepath.Base(filepath.Dir(file)), name)
		}
	}
	return b.String()
}

// alsoAsUser runs the test again as an ordinary user, where it runs as root and
// nothing else will.
func alsoAsUser(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 && !elsewhere() {
		again(t, nobody)
	}
}

// inTwo runs a long test in two processes at once, as root and as an ordinary
// user, and reports that it has done so: not where it runs as but one of them.
func inTwo(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() != 0 || elsewhere() || os.Getenv(halfVariable) != "" {
		return false
	}
	root := make(chan struct{})
	go func() {
		defer close(root)
		again(t, 0)
	}()
	again(t, nobody)
	<-root
	return true
}

// again runs the test again as another user, or in another process.
func again(t *testing.T, uid int) {
	t.Helper()
	home, err := os.MkdirTemp("/run", "home-") //nolint:usetesting // t.TempDir lies where only root gets to
	if err != nil {
		t.Error(err)
		return
	}
	defer os.RemoveAll(home)
	if err := os.Chown(home, uid, uid); err != nil {
		t.Error(err)
		return
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", fmt.Sprintf("-test.short=%t", testing.Short()), "-test.timeout=15m")
	cmd.Env = append(os.Environ(), helperVariable+"=", halfVariable+"=1", "HOME="+home, "TMPDIR="+home)
	cmd.Dir = home
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}, Pdeathsig: unix.SIGKILL}
	runtime.LockOSThread() // Pdeathsig is about the thread
	defer runtime.UnlockOSThread()
	out, err := cmd.CombinedOutput()
	if ran := strings.Contains(string(out), "\n--- PASS: "+t.Name()+" "); err != nil || !ran {
		t.Errorf("as uid %d: %v\n%s", uid, err, out)
		return
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "_test.go:") {
			t.Logf("as uid %d: %s", uid, strings.TrimSpace(line))
		}
	}
}

// helpers are programs for tests to execute, by name.
var helpers = map[string]func(args []string) int{
	"die after":   dieAfter,
	"idle":        idle,
	"pin and die": pinAndDie,
	"command":     command,
	"groups":      holdersGroups,
	"lacking":     lacking,

	"in user namespace": inUserNamespace,
}
