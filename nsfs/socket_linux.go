package nsfs

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// Socket is a copy of a task's descriptor that belongs to a net namespace: a
// socket, or a tun device. It keeps both alive for as long as it is open. It has
// one owner, who closes it.
type Socket struct {
	fd int
}

// SocketOf takes a copy of one of the descriptors of the process or thread behind
// a pidfd (pidfd_getfd(2), Linux 5.6). It needs PTRACE_MODE_ATTACH_REALCREDS,
// which is more than reading /proc takes, else [ErrDenied]; [ErrGone] if the task
// or its descriptor is.
func SocketOf(pidfd, fd int) (Socket, error) {
	n, err := unix.PidfdGetfd(pidfd, fd, 0)
	if err != nil {
		return Socket{}, wrap("copy", "fd "+strconv.Itoa(fd), err, getfdKind)
	}
	return Socket{n}, nil
}

func getfdKind(errno unix.Errno) error {
	if errno == unix.EBADF { // closed, or the task is about to be a zombie
		return ErrGone
	}
	return fileKind(errno)
}

// FD returns the descriptor, which stays the Socket's own.
func (s Socket) FD() int { return s.fd }

// Close closes the copy.
func (s Socket) Close() { _ = unix.Close(s.fd) }

// Ino asks for the inode number, which no two open sockets share, but all copies of one.
func (s Socket) Ino() (uint64, error) {
	st, err := fstat(s.fd)
	if err != nil {
		return 0, wrap("inode of", "fd "+strconv.Itoa(s.fd), err, socketKind)
	}
	return st.Ino, nil
}

// Net opens the net namespace that the socket belongs to (SIOCGSKNS, Linux 4.9;
// of a tun device 5.5), which becomes active by this call, if it was not. It needs
// CAP_NET_ADMIN over that namespace, else [ErrDenied]. [ErrNotSupported]: it
// belongs to none, as what O_PATH opened of a socket's name does.
func (s Socket) Net() (*NS, error) {
	fd, err := unix.IoctlRetInt(s.fd, unix.SIOCGSKNS)
	if err != nil {
		return nil, wrap("net namespace of", "fd "+strconv.Itoa(s.fd), err, socketKind)
	}
	return &NS{fd}, nil
}

func socketKind(errno unix.Errno) error {
	switch errno {
	case unix.EPERM, unix.EACCES:
		return ErrDenied
	case unix.EBADF, unix.ENOTTY, unix.EINVAL, unix.EOPNOTSUPP:
		return ErrNotSupported
	}
	return nil
}

// Cookie asks for the cookie of the socket's net namespace (SO_NETNS_COOKIE, Linux
// 5.14), which takes no privilege. It is unique until the host is booted again,
// and from 6.18 on the namespace's [ID] (preinit_net, net/core/net_namespace.c).
// [ErrNotSupported] for a tun device too.
func (s Socket) Cookie() (uint64, error) {
	c, err := unix.GetsockoptUint64(s.fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return 0, wrap("cookie of", "fd "+strconv.Itoa(s.fd), err, cookieKind)
	}
	return c, nil
}

func cookieKind(errno unix.Errno) error {
	switch errno {
	case unix.ENOPROTOOPT, unix.ENOTSOCK, unix.EBADF, unix.EOPNOTSUPP:
		return ErrNotSupported
	}
	return nil
}

// OwnSocket opens a socket in the caller's own net namespace.
func OwnSocket() (Socket, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return Socket{}, wrap("open", "socket", err, socketKind)
	}
	return Socket{fd}, nil
}
