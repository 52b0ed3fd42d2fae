package nsfs

import "golang.org/x/sys/unix"

// PIDFD is a pidfd of a task, known to be that task's and not a successor's with
// the same number. It opens the task's namespaces without a walk through /proc. It
// has one owner, who closes it. Its zero value is none, and needs no Close.
type PIDFD struct {
	fd   int // and one, so that zero is none
	task Task
}

// PIDFD opens a pidfd of the task. Linux 5.3 for a process; PIDFD_THREAD of Linux
// 6.9 for a thread.
func (t Task) PIDFD() (PIDFD, error) {
	f, err := t.openPIDFD()
	// EINVAL: up to Linux 6.15 of what was reaped just now, too (see OpenProcess).
	if (err == nil || err == unix.EINVAL) && t.reaped() {
		f.Close()
		err = unix.ESRCH
	}
	if err != nil {
		return PIDFD{}, wrap("pidfd of", t.path(".\x00"), err, pidfdKind)
	}
	return f, nil
}

// StatusAndPIDFD is [Task.Status] and [Task.PIDFD] in one, which saves the look that
// makes sure whose pidfd it is. Where only that cannot be had it is none.
func (t Task) StatusAndPIDFD(s *Status) (PIDFD, error) {
	f, _ := t.openPIDFD() // it is asked for again by who cannot do without
	if err := t.Status(s); err != nil {
		f.Close()
		return PIDFD{}, err
	}
	return f, nil
}

// openPIDFD opens a pidfd of the task's number. That was the task's for as long as
// its directory answers afterwards.
func (t Task) openPIDFD() (PIDFD, error) {
	flags := 0
	if t.tid != t.pid {
		flags = unix.PIDFD_THREAD
	}
	fd, _, errno := unix.RawSyscall(unix.SYS_PIDFD_OPEN, uintptr(t.tid), uintptr(flags), 0)
	if errno != 0 {
		return PIDFD{}, errno
	}
	return PIDFD{int(fd) + 1, t}, nil
}

// OK reports whether there is one.
func (f PIDFD) OK() bool { return f.fd != 0 }

// FD returns the descriptor, which stays the PIDFD's own; -1 where there is none.
func (f PIDFD) FD() int { return f.fd - 1 }

// Close closes it.
func (f PIDFD) Close() {
	if f.OK() {
		closeFD(f.FD())
	}
}

// Open opens the namespace that a link of the task leads to
// (PIDFD_GET_*_NAMESPACE, Linux 6.11): in half the time that the link takes, which
// is the time that it takes to read the link. PIDForChildren it opens, too, where
// the namespace has no init yet, whose link is ErrGone up to Linux 7.0 (pidfd_ioctl,
// fs/pidfs.c). [ErrGone] for zombies, [ErrDenied] without PTRACE_MODE_READ_FSCREDS,
// [ErrNotSupported] also of a type that the kernel does not have.
func (f PIDFD) Open(l Link) (*NS, error) {
	fd, err := ioctlArg(f.FD(), pidfdRequests[l], 0)
	if err != nil {
		return nil, wrap("open", f.task.path(linkPaths[l]), err, pidfdKind)
	}
	return &NS{fd}, nil
}

// OpenByPIDFD is [PIDFD.Open] with a pidfd for this once.
func (t Task) OpenByPIDFD(l Link) (*NS, error) {
	f, err := t.PIDFD()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Open(l)
}

var pidfdRequests = [NumLinks]uint{
	unix.PIDFD_GET_USER_NAMESPACE, unix.PIDFD_GET_MNT_NAMESPACE, unix.PIDFD_GET_UTS_NAMESPACE,
	unix.PIDFD_GET_IPC_NAMESPACE, unix.PIDFD_GET_PID_NAMESPACE, unix.PIDFD_GET_CGROUP_NAMESPACE,
	unix.PIDFD_GET_NET_NAMESPACE, unix.PIDFD_GET_TIME_NAMESPACE,
	unix.PIDFD_GET_PID_FOR_CHILDREN_NAMESPACE, unix.PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE,
}

func pidfdKind(errno unix.Errno) error {
	if errno == unix.EINVAL { // a flag or a request from before its time
		return ErrNotSupported
	}
	return fileKind(errno)
}
