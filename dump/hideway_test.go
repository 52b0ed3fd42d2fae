//go:build linux

package dump

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// The ways to hide. Each says what it hid, or nil where this kernel or user cannot.

// ownerOfMounted is a user namespace that owns nothing but a mounted net.
func ownerOfMounted(h *hiding) *secret {
	a := h.fork(h.base, nsfs.User|nsfs.Net)
	net := h.ref(a, nsfs.InNet)
	h.bind(h.base, a, nsfs.InNet)
	user := h.ref(a, nsfs.InUser)
	exit(h.t, a)
	return &secret{user, topology.Active, []string{"owned " + net.String()}}
}

// parentOfMounted is the parent of a mounted user namespace.
func parentOfMounted(h *hiding) *secret {
	a := h.fork(h.base, nsfs.User)
	b := h.fork(a, nsfs.User)
	user, child := h.ref(a, nsfs.InUser), h.ref(b, nsfs.InUser)
	h.bind(h.base, b, nsfs.InUser)
	exit(h.t, b)
	exit(h.t, a)
	return &secret{user, topology.Active, []string{"child " + child.String()}}
}

// between is a user namespace without a task, between two that have one.
func between(h *hiding) *secret {
	a := h.fork(h.base, nsfs.User)
	b := h.fork(a, nsfs.User)
	user, child := h.ref(a, nsfs.InUser), h.ref(b, nsfs.InUser)
	exit(h.t, a)
	return &secret{user, topology.Active, []string{"child " + child.String()}}
}

func netByFD(h *hiding) *secret {
	a := h.fork(h.base, nsfs.Net)
	net := h.ref(a, nsfs.InNet)
	pin := h.keep(a, nsfs.InNet)
	exit(h.t, a)
	return &secret{net, topology.Active, []string{pin}}
}

func openSocketOf(t *testing.T, a *agent.Agent) int {
	t.Helper()
	return call(t, a, "socket", unix.SYS_SOCKET, agent.Int(unix.AF_INET), agent.Int(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC), agent.Int(0))
}

// netBySocket is the net namespace of a socket, whose task has left it.
func netBySocket(h *hiding) *secret {
	a := h.fork(h.base, 0)
	h.unshare(a, nsfs.Net)
	net := h.ref(a, nsfs.InNet)
	fd := openSocketOf(h.t, a)
	h.unshare(a, nsfs.Net)
	return &secret{net, topology.Hidden, []string{fmt.Sprintf("socket %d/%d", a.PID(), fd)}}
}

// ownerOfSocket is a user namespace that owns nothing but a net which only a
// socket holds.
func ownerOfSocket(h *hiding) *secret {
	a := h.fork(h.base, nsfs.User|nsfs.Net)
	b := fork(h.t, a, 0) // with a's descriptors
	net, user := h.ref(a, nsfs.InNet), h.ref(a, nsfs.InUser)
	openSocketOf(h.t, a)
	h.unshare(b, nsfs.User|nsfs.Net)
	inner := h.ref(b, nsfs.InUser)
	exit(h.t, a)
	return &secret{user, topology.Active, []string{"child " + inner.String(), "owned " + net.String()}}
}

// mountedMnt is a mount namespace that is mounted in one with a smaller id, which
// is what the kernel wants. On 6.18 each processor has its own ids to give, 4096 at a
// time (COOKIE_LOCAL_BATCH, include/linux/cookie.h).
func mountedMnt(h *hiding) *secret {
	for range 5000 {
		a := h.fork(h.base, nsfs.Mnt)
		mnt := h.ref(a, nsfs.InMnt)
		pin, err := h.tryBind(h.base, a, nsfs.InMnt)
		exit(h.t, a)
		if err == nil {
			return &secret{mnt, topology.Active, []string{pin}}
		}
	}
	h.t.Fatal("no mount namespace has a greater id")
	return nil
}

// mountedElsewhere is a net that is mounted in another mount namespace, where a
// task is.
func mountedElsewhere(h *hiding) *secret {
	a := h.fork(h.base, nsfs.Mnt)
	b := h.fork(h.base, nsfs.Net)
	net := h.ref(b, nsfs.InNet)
	pin := h.bind(a, b, nsfs.InNet)
	exit(h.t, b)
	return &secret{net, topology.Active, []string{pin}}
}

// mountedNowhere is a net that is mounted in a mount namespace without a task.
func mountedNowhere(h *hiding) *secret {
	a := h.fork(h.base, nsfs.Mnt)
	b := h.fork(h.base, nsfs.Net)
	net := h.ref(b, nsfs.InNet)
	pin := h.bind(a, b, nsfs.InNet)
	h.keep(a, nsfs.InMnt)
	exit(h.t, b)
	exit(h.t, a)
	return &secret{net, topology.Active, []string{pin}}
}

// mountedOutside is a net that is mounted where the only task of its mount
// namespace does not see it, for it has another root directory.
func mountedOutside(h *hiding) *secret {
	a := h.fork(h.base, nsfs.Mnt)
	b := h.fork(h.base, nsfs.Net)
	net := h.ref(b, nsfs.InNet)
	pin := h.bind(a, b, nsfs.InNet)
	call(h.t, a, "chroot", unix.SYS_CHROOT, agent.String("/proc"))
	exit(h.t, b)
	return &secret{net, topology.Active, []string{pin}}
}

// mountedTwice is two nets mounted on one path, of which the second covers the
// first, that is held by a descriptor besides.
func mountedTwice(h *hiding) *secret {
	a := h.fork(h.base, nsfs.Net)
	b := h.fork(h.base, nsfs.Net)
	net := h.ref(a, nsfs.InNet)
	pin := h.bind(h.base, a, nsfs.InNet)
	fd := h.keep(a, nsfs.InNet)
	var p agent.Program
	path := fmt.Sprintf("%s/bind-%d", h.dir, h.n)
	p.Call("bind over it", unix.SYS_MOUNT, agent.String(fmt.Sprintf("/proc/%d/ns/net", b.PID())), agent.String(path), agent.Int(0),
		agent.Int(unix.MS_BIND), agent.Int(0))
	if err := h.base.Run(h.t.Context(), &p); err != nil {
		h.t.Fatal(err)
	}
	exit(h.t, a)
	exit(h.t, b)
	return &secret{net, topology.Active, []string{pin, fd}}
}

// mountedDetached is a net in a mount that is mounted nowhere.
func mountedDetached(h *hiding) *secret {
	a := h.fork(h.base, nsfs.Net)
	net := h.ref(a, nsfs.InNet)
	fd := call(h.t, h.keeper, "open_tree", unix.SYS_OPEN_TREE, agent.Int(unix.AT_FDCWD),
		agent.String(fmt.Sprintf("/proc/%d/ns/net", a.PID())), agent.Int(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC))
	exit(h.t, a)
	return &secret{net, topology.Active, []string{fmt.Sprintf("fd %d/%d", h.keeper.PID(), fd)}}
}

// utsOfThread is that of a thread, which is not its process's.
func utsOfThread(h *hiding) *secret {
	if os.Geteuid() != 0 {
		return nil
	}
	tid := h.thread(func() error { return unix.Unshare(unix.CLONE_NEWUTS) })
	return &secret{h.threadRef(tid, nsfs.InUTS), topology.Active, []string{fmt.Sprintf("thread %d:%d", os.Getpid(), tid)}}
}

// fdOfThread is a net that a descriptor holds which only one thread has.
func fdOfThread(h *hiding) *secret {
	a := h.fork(h.base, nsfs.Net)
	net := h.ref(a, nsfs.InNet)
	var fd int
	tid := h.thread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_FILES); err != nil {
			return err
		}
		fd, err = unix.Open(fmt.Sprintf("/proc/%d/ns/net", a.PID()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return err
	})
	exit(h.t, a)
	return &secret{net, topology.Active, []string{fmt.Sprintf("fd %d:%d/%d", os.Getpid(), tid, fd)}}
}

// thread has a thread of this process do something, and stay until the test ends.
func (h *hiding) thread(do func() error) (tid int) {
	h.t.Helper()
	ready, stop, done := make(chan int), make(chan struct{}), make(chan struct{})
	onThread(func() {
		defer close(done)
		if err := do(); err != nil {
			h.t.Error(err)
		}
		ready <- unix.Gettid()
		<-stop
	})
	h.t.Cleanup(func() { close(stop); <-done })
	return <-ready
}

func (h *hiding) threadRef(tid int, l nsfs.Link) nsfs.Ref {
	h.t.Helper()
	th, err := testSelf(h.t).Thread(tid)
	if err != nil {
		h.t.Fatal(err)
	}
	defer th.Close()
	r, err := th.Ref(l)
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

func timeForChildren(h *hiding) *secret {
	a := h.fork(h.base, 0)
	h.unshare(a, nsfs.Time)
	return &secret{h.ref(a, nsfs.TimeForChildren), topology.Active, []string{fmt.Sprintf("time_for_children %d", a.PID())}}
}

// deadParent is a pid namespace whose init has gone, and which only its child
// holds, that is dead too and held by a descriptor.
func deadParent(h *hiding) *secret {
	a := h.fork(h.base, nsfs.PID)
	b := h.fork(a, nsfs.PID)
	pid, child := h.ref(a, nsfs.InPID), h.ref(b, nsfs.InPID)
	h.keep(b, nsfs.InPID)
	exit(h.t, b)
	exit(h.t, a)
	return &secret{pid, topology.Dead, []string{"child " + child.String()}}
}

func deadMounted(h *hiding) *secret {
	a := h.fork(h.base, nsfs.PID)
	pid := h.ref(a, nsfs.InPID)
	pin := h.bind(h.base, a, nsfs.InPID)
	exit(h.t, a)
	return &secret{pid, topology.Dead, []string{pin}}
}

// unbornPID is a pid namespace that has had no init yet.
func unbornPID(h *hiding) *secret {
	p := testProc(h.t)
	if nsfs.HavePIDFDNamespaces(p) != nil {
		return nil
	}
	a := h.fork(h.base, 0)
	h.unshare(a, nsfs.PID)
	task, err := p.Task(a.PID())
	if err != nil {
		h.t.Fatal(err)
	}
	defer task.Close()
	ns, err := task.OpenByPIDFD(nsfs.PIDForChildren)
	if err != nil {
		h.t.Fatal(err)
	}
	defer ns.Close()
	r, err := ns.Ref()
	if err != nil {
		h.t.Fatal(err)
	}
	return &secret{r, topology.Unborn, []string{fmt.Sprintf("pid_for_children %d", a.PID())}}
}

// zombieUser is a user namespace whose only task has ended, and was not waited
// for.
func zombieUser(h *hiding) *secret {
	cmd := exec.Command("/proc/self/exe", "-test.run=^$")
	id := []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
	gid := []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: id, GidMappings: gid}
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = cmd.Wait() })
	task, err := testProc(h.t).Task(cmd.Process.Pid)
	if err != nil {
		h.t.Fatal(err)
	}
	defer task.Close()
	eventually(h.t, "a child is a zombie", func() bool {
		var s nsfs.Status
		return task.Status(&s) == nil && s.Zombie()
	})
	r, err := task.Ref(nsfs.InUser)
	if err != nil {
		h.t.Fatal(err)
	}
	return &secret{r, topology.Active, []string{fmt.Sprintf("task %d", cmd.Process.Pid)}}
}

// ownerOnly is a user namespace that nothing but what it owns keeps.
func ownerOnly(h *hiding) *secret {
	a := h.fork(h.base, nsfs.User|nsfs.UTS)
	user, uts := h.ref(a, nsfs.InUser), h.ref(a, nsfs.InUTS)
	h.keep(a, nsfs.InUTS)
	exit(h.t, a)
	return &secret{user, topology.Active, []string{"owned " + uts.String()}}
}

// inFlight is a net that a descriptor holds which is on its way through a socket.
func inFlight(h *hiding) *secret {
	a := h.fork(h.base, nsfs.Net)
	net := h.ref(a, nsfs.InNet)
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/ns/net", a.PID()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	pin := h.send(fd)
	exit(h.t, a)
	return &secret{net, topology.Active, []string{pin}}
}

// behindInFlight is a net that a descriptor in flight holds behind another: only
// listns(2) tells, and not why.
func behindInFlight(h *hiding) *secret {
	a := h.fork(h.base, nsfs.Net)
	net := h.ref(a, nsfs.InNet)
	null, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/ns/net", a.PID()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	h.send(null, fd)
	exit(h.t, a)
	return &secret{net, topology.Active, nil}
}

// socketInFlight is a net that a socket holds which is on its way through another.
func socketInFlight(h *hiding) *secret {
	if os.Geteuid() != 0 {
		return nil
	}
	var net nsfs.Ref
	var fd, tid int
	done := make(chan struct{})
	onThread(func() {
		defer close(done)
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			h.t.Error(err)
			return
		}
		tid = unix.Gettid()
		net = h.threadRef(tid, nsfs.InNet)
		s, err := nsfs.OwnSocket()
		if err != nil {
			h.t.Error(err)
			return
		}
		fd = s.FD()
	})
	<-done
	eventually(h.t, "a thread ends", func() bool { return unix.Tgkill(os.Getpid(), tid, 0) == unix.ESRCH })
	return &secret{net, topology.Hidden, []string{h.send(fd)}}
}
