package nsfs

import (
	"encoding/binary"
	"strconv"

	"golang.org/x/sys/unix"
)

// Handle is a file handle of the nsfs file system: struct nsfs_file_handle of
// include/uapi/linux/nsfs.h (Linux 6.18). It holds nothing open: it is a name,
// valid for as long as the namespace is active.
type Handle struct {
	ID   ID
	Type Type   // with Ino, or neither (Linux 6.19)
	Ino  uint32 // with Type, or neither
}

// Of struct nsfs_file_handle; not in x/sys.
const (
	fileidNSFS = 0xf1 // FILEID_NSFS, include/linux/exportfs.h
	handleSize = 16   // NSFS_FILE_HANDLE_SIZE_VER0
)

// Ref returns the kernel's spelling of a handle that has Type and Ino.
func (h Handle) Ref() Ref { return Ref{h.Type, uint64(h.Ino)} }

// String returns the id as nsenter(1) writes it.
func (h Handle) String() string { return h.ID.String() }

// Open opens the namespace h names (open_by_handle_at(2) with FD_NSFS_ROOT).
// Linux 6.18 needs all three fields of h, as [Task.Handle] fills them; from 6.19
// the ID suffices.
//
// No capability is needed for a namespace the caller is in; for any other, those
// that [SeesAll] asks for (nsfs_fh_to_dentry, fs/nsfs.c). [ErrGone], which is
// ESTALE, is every refusal: gone, inactive, or not for the caller.
// [ErrNotSupported] comes before 6.18, where FD_NSFS_ROOT is no descriptor.
func (h Handle) Open() (*NS, error) {
	fd, err := h.open(unix.O_RDONLY)
	if err != nil {
		return nil, wrap("open namespace", h.String(), err, handleKind)
	}
	return &NS{fd}, nil
}

// Alive reports whether h can be opened, with the errors of Open. It is cheaper.
func (h Handle) Alive() error {
	fd, err := h.open(unix.O_PATH)
	if err != nil {
		return wrap("look up namespace", h.String(), err, handleKind)
	}
	_ = unix.Close(fd)
	return nil
}

func (h Handle) open(flags int) (int, error) {
	var b [handleSize]byte
	binary.NativeEndian.PutUint64(b[0:], uint64(h.ID))
	binary.NativeEndian.PutUint32(b[8:], uint32(h.Type))
	binary.NativeEndian.PutUint32(b[12:], h.Ino)
	return unix.OpenByHandleAt(unix.FD_NSFS_ROOT, unix.NewFileHandle(fileidNSFS, b[:]), flags|unix.O_CLOEXEC)
}

func handleKind(errno unix.Errno) error {
	if errno == unix.EBADF || errno == unix.EINVAL {
		return ErrNotSupported
	}
	return fileKind(errno)
}

// Handle returns the handle of the open namespace: its id, type and inode number
// by one system call (Linux 6.18, ErrNotSupported before).
func (ns *NS) Handle() (Handle, error) {
	h, err := handleAt(ns.fd, "\x00")
	if err != nil {
		return Handle{}, wrap("handle of", "fd "+strconv.Itoa(ns.fd), err, fileKind)
	}
	return h, nil
}
