//go:build linux

package nsfs

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/test/require"
)

// TestSocket copies a socket of another process, which that was given by this one,
// and asks for its net namespace.
func TestSocket(t *testing.T) {
	asUser(t, "TestSocket")
	p := testProc(t)
	own, err := OwnSocket()
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "NSFS_TEST_CHILD=wait")
	stop, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	dup, err := unix.Dup(own.FD())
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(dup), "socket")
	cmd.ExtraFiles = []*os.File{file}
	err = cmd.Start()
	file.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { stop.Close(); _ = cmd.Wait() }()
	task, err := p.Task(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer task.Close()
	pidfd, err := task.PIDFD()
	require.That(t, "pidfd", err)
	defer pidfd.Close()
	s, err := SocketOf(pidfd.FD(), 3)
	require.That(t, "pidfd_getfd", err)
	defer s.Close()
	wantRef, err := task.Ref(InNet)
	if err != nil {
		t.Fatal(err)
	}
	ns, err := s.Net()
	switch {
	case err == nil:
		defer ns.Close()
		if ref, err := ns.Ref(); err != nil || ref != wantRef {
			t.Errorf("namespace %v, %v; want %v", ref, err, wantRef)
		}
	case os.Geteuid() == 0 || !errors.Is(err, ErrDenied):
		t.Error(err)
	}
	want, err := own.Cookie()
	require.That(t, "netns-cookie", err)
	if got, err := s.Cookie(); err != nil || got != want || got == 0 {
		t.Errorf("cookie %d, %v; want %d", got, err, want)
	}
	if h, err := task.Handle(InNet); err == nil && uint64(h.ID) != want {
		t.Errorf("cookie %d, id %d", want, h.ID)
	}
	if _, err := SocketOf(pidfd.FD(), 1000); !errors.Is(err, ErrGone) {
		t.Errorf("of no descriptor: %v, want ErrGone", err)
	}
}

// TestSocketName opens a socket's name, which is none.
func TestSocketName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := Socket{name}
	defer s.Close()
	if _, err := s.Net(); !errors.Is(err, ErrNotSupported) {
		t.Errorf("namespace: %v, want ErrNotSupported", err)
	}
	if _, err := s.Cookie(); !errors.Is(err, ErrNotSupported) {
		t.Errorf("cookie: %v, want ErrNotSupported", err)
	}
}

// TestSharesFDs has a thread with a descriptor table of its own.
func TestSharesFDs(t *testing.T) {
	asUser(t, "TestSharesFDs")
	self, err := testProc(t).Self()
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	shared, err := self.SharesFDs(unix.Gettid())
	require.That(t, "kcmp", err)
	if !shared {
		t.Error("this thread does not share the table of its process")
	}
	<-onThread(func() {
		if err := unix.Unshare(unix.CLONE_FILES); err != nil {
			t.Error(err)
		}
		if shared, err := self.SharesFDs(unix.Gettid()); err != nil || shared {
			t.Errorf("after unshare: %v, %v", shared, err)
		}
	})
	if _, err := self.SharesFDs(1 << 30); !errors.Is(err, ErrGone) {
		t.Errorf("no thread: %v, want ErrGone", err)
	}
}

// TestAtRoot changes the root directory of a thread.
func TestAtRoot(t *testing.T) {
	require.Root(t)
	self, err := testProc(t).Self()
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	if at, err := self.AtRoot(); err != nil || !at {
		t.Errorf("this process: %v, %v", at, err)
	}
	dir := t.TempDir()
	tid, done := make(chan int), make(chan struct{})
	over := onThread(func() {
		if err := errors.Join(unix.Unshare(unix.CLONE_FS), unix.Chroot(dir)); err != nil {
			t.Error(err)
		}
		tid <- unix.Gettid()
		<-done
	})
	th, err := self.Thread(<-tid)
	if err != nil {
		t.Fatal(err)
	}
	if at, err := th.AtRoot(); err != nil || at {
		t.Errorf("after chroot: %v, %v", at, err)
	}
	th.Close()
	close(done)
	<-over
}

// TestMounts compares the kernel's count of mounts with those that are shown.
func TestMounts(t *testing.T) {
	asUser(t, "TestMounts")
	self, err := testProc(t).Self()
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	ns, err := self.Open(InMnt)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	all, err := ns.Mounts()
	require.That(t, "mount-count", err)
	for { // until nobody on the host mounts anything meanwhile
		before := all.Mounts
		shown, err := self.Binds(func(Bind) {})
		if err == nil {
			all, err = ns.Mounts()
		}
		if err == nil && all.Mounts != before {
			continue
		}
		if err != nil || shown > all.Mounts || shown+1 < all.Mounts {
			t.Errorf("%d shown of %d, %v", shown, all.Mounts, err)
		}
		break
	}
	user, err := self.Open(InUser)
	if err != nil {
		t.Fatal(err)
	}
	defer user.Close()
	if _, err := user.Mounts(); err == nil || !strings.Contains(err.Error(), "count mounts of user:") {
		t.Errorf("of a user namespace: %v", err)
	}
}

// onThread runs f on a thread of its own, which is not the leader and ends with f.
func onThread(f func()) (over chan struct{}) {
	over = make(chan struct{})
	go func() {
		defer close(over)
		runtime.LockOSThread()
		if unix.Gettid() != os.Getpid() {
			f()
			return // locked: the thread is not given back
		}
		defer runtime.UnlockOSThread()
		<-onThread(f)
	}()
	return over
}
