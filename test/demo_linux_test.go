package test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/test/require"
)

// TestDemo runs the demo as anyone who tries renest does first.
func TestDemo(t *testing.T) {
	out := strings.TrimSpace(renest(t, 0, "demo"))
	if !strings.HasSuffix(out, "\nisomorphic") {
		t.Errorf("the demo does not end with isomorphic:\n%s", out)
	}
	// listns(2) shows an ordinary user only what it is in: there /proc serves.
	want := "/proc served"
	if os.Geteuid() == 0 && haveListns() {
		want = "listns(2) served"
	}
	if !strings.Contains(out, want) {
		t.Errorf("the demo does not say %q:\n%s", want, out)
	}
}

// TestDemoInside runs the demo as the root of a user namespace of one id.
func TestDemoInside(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), program(t, "renest"), "demo")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "\nisomorphic\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestDemoReadOnly runs the demo where /proc/sys is read-only, as in most containers.
func TestDemoReadOnly(t *testing.T) {
	sh := require.Command(t, "sh", "dash")
	require.Command(t, "mount", "mount")
	script := "mount --rbind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec " + program(t, "renest") + " demo"
	cmd := exec.CommandContext(t.Context(), sh, "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "\nisomorphic\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

// haveListns tells whether the kernel has listns(2): Linux 6.19.
func haveListns() bool {
	_, _, errno := unix.Syscall6(unix.SYS_LISTNS, 0, 0, 0, 0, 0, 0)
	return !errors.Is(errno, unix.ENOSYS)
}
