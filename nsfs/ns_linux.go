package nsfs

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// NS is an open namespace: a descriptor of the nsfs file system, which keeps the
// namespace alive and active. It has one owner, who closes it; it is opened with
// O_CLOEXEC; no finalizer closes it behind the owner's back, so the descriptor
// is valid for as long as the owner holds it.
type NS struct {
	fd int
}

// Adopt makes an NS of an open descriptor, which it owns from then on. It fails
// with [ErrNoNamespace], and closes nothing, where fd is something else.
func Adopt(fd int) (*NS, error) { return adopt(fd, "fd "+strconv.Itoa(fd)) }

func adopt(fd int, object string) (*NS, error) {
	ns := &NS{fd}
	_, err := ns.Type()
	if errors.Is(err, ErrNotSupported) {
		err = &Error{Op: "open", Object: object, Kind: ErrNoNamespace, Errno: unix.ENOTTY}
	}
	if err != nil {
		return nil, err
	}
	return ns, nil
}

// adoptOrClose is adopt for a descriptor that was opened just now.
func adoptOrClose(fd int, object string) (*NS, error) {
	ns, err := adopt(fd, object)
	if err != nil {
		_ = unix.Close(fd)
	}
	return ns, err
}

// Open opens the namespace at path: a link in /proc/PID/ns, or a bind mount of
// one. [ErrNoNamespace] if it is something else.
// To open the namespaces of tasks, see [Task.Open], which does not trust a pid
// to stay the same task's.
func Open(path string) (*NS, error) {
	// Devices may do something when they are opened, and a fifo lets go whoever
	// waits to write to it: nothing but a namespace is.
	var fs unix.Statfs_t
	if err := statfs(path, &fs); err != nil {
		return nil, wrap("open", path, err, fileKind)
	}
	if fs.Type != unix.NSFS_MAGIC {
		return nil, &Error{Op: "open", Object: path, Kind: ErrNoNamespace, Errno: unix.ENOTTY}
	}
	fd, err := openPath(unix.AT_FDCWD, path)
	if err != nil {
		return nil, wrap("open", path, err, fileKind)
	}
	return adoptOrClose(fd, path)
}

func statfs(path string, fs *unix.Statfs_t) error {
	for {
		if err := unix.Statfs(path, fs); err != unix.EINTR {
			return err
		}
	}
}

// openPath opens for reading, and never blocks on a fifo in a namespace's place.
func openPath(dirfd int, path string) (int, error) {
	for {
		fd, err := unix.Openat(dirfd, path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// FD returns the descriptor, which stays the NS's own.
func (ns *NS) FD() int { return ns.fd }

// Close closes the descriptor. What nothing else keeps alive ends with it.
func (ns *NS) Close() error {
	fd := ns.fd
	ns.fd = -1
	if _, _, errno := unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0); errno != 0 {
		return wrap("close", "fd "+strconv.Itoa(fd), errno, ioctlKind)
	}
	return nil
}

// Type asks for the type (NS_GET_NSTYPE, Linux 4.11). Any other file answers
// [ErrNotSupported].
func (ns *NS) Type() (Type, error) {
	r, err := ioctlArg(ns.fd, unix.NS_GET_NSTYPE, 0)
	if err != nil {
		return 0, wrap("type of", "fd "+strconv.Itoa(ns.fd), err, ioctlKind)
	}
	if t := Type(r); t.Valid() {
		return t, nil
	}
	return 0, &Error{Op: "type of", Object: "fd " + strconv.Itoa(ns.fd), Kind: ErrNotSupported, Errno: unix.ENOTTY}
}

// Ino asks for the inode number, by fstat(2).
func (ns *NS) Ino() (uint64, error) {
	st, err := fstat(ns.fd)
	if err != nil {
		return 0, wrap("inode of", "fd "+strconv.Itoa(ns.fd), err, ioctlKind)
	}
	return st.Ino, nil
}

// Ref asks for the type and the inode number.
func (ns *NS) Ref() (Ref, error) {
	t, err := ns.Type()
	if err != nil {
		return Ref{}, err
	}
	ino, err := ns.Ino()
	return Ref{t, ino}, err
}

// String returns the kernel's spelling, or the descriptor where it fails.
func (ns *NS) String() string {
	if r, err := ns.Ref(); err == nil {
		return r.String()
	}
	return "fd " + strconv.Itoa(ns.fd)
}

// ID asks for the id (NS_GET_ID, Linux 6.18 for every type); [ErrNotSupported]
// before. It needs no privilege.
func (ns *NS) ID() (ID, error) {
	id, err := ioctlU64(ns.fd, unix.NS_GET_ID)
	if err != nil {
		return 0, wrap("id of", ns.String(), err, ioctlKind)
	}
	return ID(id), nil
}

// Mounts asks for the id and the number of mounts of a mount namespace
// (NS_MNT_GET_INFO, Linux 6.12; [ErrNotSupported] before). It needs no privilege.
func (ns *NS) Mounts() (MountNS, error) {
	info, err := ioctlMntInfo(ns.fd)
	if err != nil {
		return MountNS{}, wrap("count mounts of", ns.String(), err, ioctlKind)
	}
	return MountNS{ID: info.id, Mounts: int(info.mounts)}, nil
}
