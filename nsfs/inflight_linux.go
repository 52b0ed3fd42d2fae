package nsfs

import (
	"bytes"
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// Waiting reports whether a message, a connection or the end of all waits in the
// socket's queue.
func (s Socket) Waiting() bool {
	p := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}
	n, err := unix.Poll(p, 0)
	return err == nil && n > 0
}

// InFlight calls namespace and socket with a copy of each descriptor that is one,
// or belongs to one, in the first of those messages in a unix socket's queue that
// carry any (SCM_RIGHTS, unix(7)). It returns how many descriptors of any kind that
// message has. The copies are closed afterwards; the messages stay where they are
// (MSG_PEEK, recv(2)), and what is behind the first is not seen, see
// [Task.InFlight].
//
// [ErrNotSupported]: it is no unix socket, or one that listens, or has a peek
// offset (SO_PEEK_OFF), which a look would move.
func (s Socket) InFlight(dev Dev, namespace func(*NS), socket func(Socket)) (int, error) {
	for _, must := range []struct{ option, be int }{
		{unix.SO_DOMAIN, unix.AF_UNIX}, {unix.SO_ACCEPTCONN, 0}, {unix.SO_PEEK_OFF, -1},
	} {
		got, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, must.option)
		if err != nil {
			return 0, wrap("look into", "fd "+strconv.Itoa(s.fd), err, cookieKind)
		}
		if got != must.be {
			return 0, &Error{Op: "look into", Object: "fd " + strconv.Itoa(s.fd), Kind: ErrNotSupported, Errno: unix.EOPNOTSUPP}
		}
	}
	fds, err := s.peek()
	var sockets []int // which who is called may look into: all else is closed before
	for _, fd := range fds {
		var st unix.Stat_t
		switch {
		case unix.Fstat(fd, &st) != nil:
		case unix.Major(st.Dev) == dev.major && unix.Minor(st.Dev) == dev.minor:
			namespace(&NS{fd})
		case st.Mode&unix.S_IFMT == unix.S_IFSOCK:
			sockets = append(sockets, fd)
			continue
		}
		_ = unix.Close(fd)
	}
	for _, fd := range sockets {
		socket(Socket{fd})
		_ = unix.Close(fd)
	}
	return len(fds), err
}

// inFlightMax is how many descriptors a message carries at most (SCM_MAX_FD,
// include/net/scm.h).
const inFlightMax = 253

func (s Socket) peek() ([]int, error) {
	var data [1]byte // a look goes on to the first message that has descriptors
	oob := make([]byte, unix.CmsgSpace(inFlightMax*4))
	_, n, _, _, err := unix.Recvmsg(s.fd, data[:], oob, unix.MSG_PEEK|unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOTCONN), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ECONNRESET):
		return nil, nil // nothing can have come
	case err != nil:
		return nil, wrap("look into", "fd "+strconv.Itoa(s.fd), err, socketKind)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return nil, wrap("look into", "fd "+strconv.Itoa(s.fd), err, socketKind)
	}
	var fds []int
	for i := range messages {
		if got, err := unix.ParseUnixRights(&messages[i]); err == nil {
			fds = append(fds, got...)
		}
	}
	return fds, nil
}

// InFlight asks how many descriptors wait in the queue of one of a task's unix
// sockets, those of connections to be accepted included (scm_fds of
// /proc/PID/fdinfo, Linux 5.6; [ErrNotSupported] before, and of what is no unix
// socket). It needs PTRACE_MODE_READ_FSCREDS.
func (t Task) InFlight(fd int) (int, error) {
	path := cstr("fdinfo/" + strconv.Itoa(fd) + "\x00")
	b, err := readAll(t.fd, path, make([]byte, 0, 512))
	if err != nil {
		return 0, wrap("read", t.path(path), err, fileKind)
	}
	if _, after, ok := bytes.Cut(b, []byte("scm_fds:")); ok {
		return firstInt(bytes.TrimLeft(after, " \t")), nil
	}
	return 0, &Error{Op: "read", Object: t.path(path) + ": no scm_fds", Kind: ErrNotSupported, Errno: unix.ENOTSUP}
}

// Dup opens the namespace again.
func (ns *NS) Dup() (*NS, error) {
	fd, err := unix.FcntlInt(uintptr(ns.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, wrap("copy", "fd "+strconv.Itoa(ns.fd), err, ioctlKind)
	}
	return &NS{fd}, nil
}
