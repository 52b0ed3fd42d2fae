//go:build linux

package nsfs

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// cstr is a path that ends in a NUL byte, so that a scan over thousands of tasks
// need not copy a constant for every system call.
type cstr string

func (s cstr) ptr() *byte {
	if len(s) == 0 || s[len(s)-1] != 0 {
		panic("nsfs: path without a final NUL: " + string(s))
	}
	return unsafe.StringData(string(s))
}

// openat is openat(2), close on exec, retried after a signal. It may sleep, on the
// way to a remote file system for one.
func openat(dirfd int, path cstr, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dirfd, string(path[:len(path)-1]), flags|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// What follows goes to the kernel without a word to the scheduler, which is up to
// a third of the time of such short calls: they sleep for nothing, as long as they
// are asked of procfs and nsfs alone.

// openProcfs is openat of what procfs itself makes: no link to a file elsewhere.
func openProcfs(dirfd int, path *byte, flags int) (int, error) {
	for {
		r, _, errno := unix.RawSyscall6(unix.SYS_OPENAT, uintptr(dirfd), uintptr(unsafe.Pointer(path)),
			uintptr(flags|unix.O_CLOEXEC|unix.O_LARGEFILE), 0, 0, 0)
		switch errno {
		case 0:
			return int(r), nil
		case unix.EINTR:
		default:
			return -1, errno
		}
	}
}

// closeFD is close(2), of what was opened to be read.
func closeFD(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// read is read(2).
func read(fd int, buf []byte) (int, error) {
	return bytesInto(unix.SYS_READ, fd, buf)
}

// getdents is getdents64(2).
func getdents(fd int, buf []byte) (int, error) {
	return bytesInto(unix.SYS_GETDENTS64, fd, buf)
}

func bytesInto(call uintptr, fd int, buf []byte) (int, error) {
	r, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)))
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}

// readlinkat is readlinkat(2).
func readlinkat(dirfd int, path *byte, buf []byte) (int, error) {
	r, _, errno := unix.RawSyscall6(unix.SYS_READLINKAT, uintptr(dirfd), uintptr(unsafe.Pointer(path)),
		uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}

// statx is statx(2) of a path, without asking a remote file system.
func statx(dirfd int, path *byte, mask int, st *unix.Statx_t) error {
	_, _, errno := unix.Syscall6(unix.SYS_STATX, uintptr(dirfd), uintptr(unsafe.Pointer(path)),
		unix.AT_STATX_DONT_SYNC|unix.AT_NO_AUTOMOUNT, uintptr(mask), uintptr(unsafe.Pointer(st)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// fstat is fstat(2) of a namespace.
func fstat(fd int) (st unix.Stat_t, err error) {
	_, _, errno := unix.RawSyscall(unix.SYS_FSTAT, uintptr(fd), uintptr(unsafe.Pointer(&st)), 0)
	if errno != 0 {
		return st, errno
	}
	return st, nil
}
