//go:build linux

package nsfs

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Of include/uapi/linux/mount.h; not in x/sys. The numbers are the same on every
// architecture but alpha and MIPS.
const (
	sysStatmount = 457
	sysListmount = 458

	listmountRoot    = ^uint64(0) // LSMT_ROOT
	statmountSBBasic = 1          // STATMOUNT_SB_BASIC
)

// mntIDReq is struct mnt_id_req, MNT_ID_REQ_SIZE_VER1.
type mntIDReq struct {
	size  uint32
	_     uint32
	mnt   uint64
	param uint64
	ns    uint64
}

// statmountBuf is the beginning of struct statmount, up to what is asked for.
type statmountBuf struct {
	size    uint32
	_       uint32
	mask    uint64
	sbMajor uint32
	sbMinor uint32
	sbMagic uint64
}

// listmount appends the ids of the mounts in mount namespace ns that come after
// one of them. This and mountMagic go to the kernel as what is in syscall_unsafe.go:
// they wait for no more than who changes mounts at the moment (namespace_sem).
func listmount(ns, after uint64, ids []uint64) (int, error) {
	req := mntIDReq{size: uint32(unsafe.Sizeof(mntIDReq{})), mnt: listmountRoot, param: after, ns: ns}
	n, _, errno := unix.RawSyscall6(sysListmount, uintptr(unsafe.Pointer(&req)), uintptr(unsafe.Pointer(unsafe.SliceData(ids))), uintptr(len(ids)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// mountMagic asks for the type of the file system of a mount in mount namespace ns.
func mountMagic(ns, mount uint64) (uint64, error) {
	req := mntIDReq{size: uint32(unsafe.Sizeof(mntIDReq{})), mnt: mount, param: statmountSBBasic, ns: ns}
	var buf statmountBuf
	_, _, errno := unix.RawSyscall6(sysStatmount, uintptr(unsafe.Pointer(&req)), uintptr(unsafe.Pointer(&buf)), unsafe.Sizeof(buf), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return buf.sbMagic, nil
}
