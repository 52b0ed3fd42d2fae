package criu

import "encoding/binary"

// MOUNT_ATTR_IDMAP and MOUNT_ATTR_SIZE_VER0 of linux/mount.h.
const (
	mountAttrIDMap = 0x00100000
	mountAttrSize  = 32
)

// idmapped returns a struct mount_attr that maps the owners of files by a user
// namespace, of which an agent has the descriptor userns: what belongs to root on the
// host belongs to that namespace's root (mount_setattr(2), Linux 5.12).
func idmapped(userns int) []byte {
	b := binary.NativeEndian.AppendUint64(nil, mountAttrIDMap)        // attr_set
	b = append(b, make([]byte, 16)...)                                // attr_clr, propagation
	return binary.NativeEndian.AppendUint64(b, uint64(int64(userns))) // userns_fd
}
