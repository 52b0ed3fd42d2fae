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

// openat is openat(2), close on exec, retried after a signal.
func openat(dirfd int, path cstr, flags int) (int, error) {
	return openatPtr(dirfd, path.ptr(), flags)
}

func openatPtr(dirfd int, path *byte, flags int) (int, error) {
	for {
		r, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(dirfd), uintptr(unsafe.Pointer(path)),
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

// readlinkat is readlinkat(2). On procfs it takes no lock for long, so it goes
// without a word to the scheduler, which is a third of its time.
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
