//go:build linux

package nsfs

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawHandle is struct file_handle with room for what any file system answers.
type rawHandle struct {
	bytes uint32
	typ   int32
	f     [128]byte // MAX_HANDLE_SZ
}

// handleAt asks for the handle of the namespace at a path that may be a link
// (name_to_handle_at(2)). EOPNOTSUPP comes from nsfs before Linux 6.18.
func handleAt(dirfd int, path cstr) (Handle, error) {
	var mount int32
	h := rawHandle{bytes: handleSize}
	_, _, errno := unix.RawSyscall6(unix.SYS_NAME_TO_HANDLE_AT, uintptr(dirfd), uintptr(unsafe.Pointer(path.ptr())),
		uintptr(unsafe.Pointer(&h)), uintptr(unsafe.Pointer(&mount)), unix.AT_SYMLINK_FOLLOW|unix.AT_EMPTY_PATH, 0)
	if errno != 0 {
		return Handle{}, errno
	}
	if h.typ != fileidNSFS || h.bytes != handleSize {
		return Handle{}, unix.EOPNOTSUPP
	}
	return Handle{
		ID:   ID(binary.NativeEndian.Uint64(h.f[0:])),
		Type: Type(binary.NativeEndian.Uint32(h.f[8:])),
		Ino:  binary.NativeEndian.Uint32(h.f[12:]),
	}, nil
}
