//go:build linux

package nsfs

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain fails where a test leaves a descriptor open.
func TestMain(m *testing.M) {
	if mode := os.Getenv("NSFS_TEST_CHILD"); mode != "" {
		if mode == "foreign" {
			_, err := OpenProc()
			fmt.Println(err)
			os.Exit(0)
		}
		if mode == "unborn" {
			runtime.LockOSThread() // the leader's namespaces are those that /proc shows first
			if err := unix.Unshare(unix.CLONE_NEWPID); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			fmt.Println("ready", unix.Gettid())
		}
		fmt.Println("ready", os.Getpid())
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}
	before := openFDs()
	code := m.Run()
	if after := openFDs(); code == 0 && after != before {
		fmt.Fprintf(os.Stderr, "open descriptors:\nbefore:\n%s\nafter:\n%s\n", before, after)
		code = 1
	}
	os.Exit(code)
}

// openFDs lists this process's descriptors, but those of the runtime's poller.
func openFDs() string {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, e := range entries {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || strings.HasPrefix(to, "anon_inode:[event") {
			continue
		}
		fmt.Fprintln(&b, e.Name(), to)
	}
	return b.String()
}

func testProc(t testing.TB) *Proc {
	t.Helper()
	p, err := OpenProc()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// child starts a process in new namespaces, that waits until the test is over.
func child(t testing.TB, types Type) int {
	t.Helper()
	pid, _ := childMode(t, types, "wait")
	return pid
}

// childMode is child, in a way that TestMain knows, and returns a thread of its
// too: the one that did what mode asks for.
func childMode(t testing.TB, types Type, mode string) (pid, tid int) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "NSFS_TEST_CHILD="+mode)
	cmd.SysProcAttr = sysProcAttr(types)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := fmt.Fscanf(out, "ready %d\n", &tid); err != nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	return cmd.Process.Pid, tid
}

func sysProcAttr(types Type) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Cloneflags: uintptr(types), Pdeathsig: syscall.SIGKILL}
	if types&User != 0 {
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	return attr
}

// asUser runs the test again as an ordinary user.
func asUser(t *testing.T, name string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return // it runs as one
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		return // a bare system, whose tests are run as both
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+name+"$", "-test.v")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	cmd.Dir = "/"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("as nobody: %v\n%s", err, out)
	}
}
