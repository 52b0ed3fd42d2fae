//go:build linux

package nsfs

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// These go to the kernel without a word to the scheduler, as what is in
// syscall_unsafe.go.

// ioctlU64 is ioctl(2) with a pointer to a __u64 that the kernel writes.
func ioctlU64(fd int, req uint) (uint64, error) {
	var v uint64
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), uintptr(req), uintptr(unsafe.Pointer(&v)))
	if errno != 0 {
		return 0, errno
	}
	return v, nil
}

// ioctlArg is ioctl(2) with a number for argument and the answer as its result.
func ioctlArg(fd int, req uint, arg int) (int, error) {
	r, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), uintptr(req), uintptr(arg))
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}

// ioctlU32 is ioctl(2) with a pointer to a __u32 that the kernel writes.
func ioctlU32(fd int, req uint) (uint32, error) {
	var v uint32
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), uintptr(req), uintptr(unsafe.Pointer(&v)))
	if errno != 0 {
		return 0, errno
	}
	return v, nil
}

// mntInfo is struct mnt_ns_info of include/uapi/linux/nsfs.h; not in x/sys.
type mntInfo struct {
	size   uint32
	mounts uint32
	id     uint64
}

// nsMntGetInfo is NS_MNT_GET_INFO: _IOR(0xb7, 10, struct mnt_ns_info).
const nsMntGetInfo = 2<<30 | 16<<16 | 0xb7<<8 | 10

func ioctlMntInfo(fd int) (info mntInfo, err error) {
	info.size = uint32(unsafe.Sizeof(info))
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), nsMntGetInfo, uintptr(unsafe.Pointer(&info)))
	if errno != 0 {
		return info, errno
	}
	return info, nil
}
