//go:build linux

package nsfs

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// ioctlU64 is ioctl(2) with a pointer to a __u64 that the kernel writes.
func ioctlU64(fd int, req uint) (uint64, error) {
	var v uint64
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(req), uintptr(unsafe.Pointer(&v)))
	if errno != 0 {
		return 0, errno
	}
	return v, nil
}

// ioctlArg is ioctl(2) with a number for argument and the answer as its result.
func ioctlArg(fd int, req uint, arg int) (int, error) {
	r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(req), uintptr(arg))
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}
