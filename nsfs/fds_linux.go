package nsfs

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// Dev is the device number of the nsfs file system, by which a descriptor of a
// namespace is known whatever path it was opened by.
type Dev struct {
	major, minor uint32
}

const fdDir = cstr("fd\x00")

// The device number of /dev/net/tun: MISC_MAJOR of include/uapi/linux/major.h
// and TUN_MINOR of include/linux/miscdevice.h.
const (
	miscMajor = 10
	tunMinor  = 200
)

// NSDev returns the device number of nsfs, which has one instance.
func (p *Proc) NSDev() (Dev, error) {
	self, err := p.Self()
	if err != nil {
		return Dev{}, err
	}
	defer self.Close()
	var st unix.Statx_t
	if err := statx(self.fd, linkPaths[InMnt].ptr(), unix.STATX_INO, &st); err != nil {
		return Dev{}, wrap("stat", self.path(linkPaths[InMnt]), err, fileKind)
	}
	return Dev{major: st.Dev_major, minor: st.Dev_minor}, nil
}

// FDs calls namespace with each of the task's descriptors that is a namespace,
// and its reference, which has no Type where the descriptor was opened through a
// bind mount: then /proc shows that path and [Task.OpenFD] tells. It calls socket
// with each that belongs to a net namespace without being one: a socket, with
// its inode number, and a tun device, with zero. It needs
// PTRACE_MODE_READ_FSCREDS, else [ErrDenied]. buf is scratch, returned for the
// next call.
//
// Each is looked at with statx(2) and not by its link's text: a descriptor
// opened through a bind mount is shown as the path of that (d_path, fs/d_path.c).
func (t Task) FDs(dev Dev, buf []int, namespace func(fd int, r Ref), socket func(fd int, ino uint64)) ([]int, error) {
	dir, err := openProcfs(t.fd, fdDir.ptr(), unix.O_RDONLY|unix.O_DIRECTORY)
	if err == nil {
		defer closeFD(dir)
		buf, err = numbers(dir, buf[:0])
	}
	if err != nil {
		return buf, wrap("list", t.path(fdDir), err, fileKind)
	}
	var st unix.Statx_t
	var b [24]byte
	for _, fd := range buf {
		path := append(strconv.AppendInt(b[:0], int64(fd), 10), 0)
		if statx(dir, &path[0], unix.STATX_INO, &st) != nil {
			continue // closed in the meantime
		}
		if st.Dev_major != dev.major || st.Dev_minor != dev.minor {
			switch {
			case st.Mode&unix.S_IFMT == unix.S_IFSOCK:
				socket(fd, st.Ino)
			case st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev_major == miscMajor && st.Rdev_minor == tunMinor:
				socket(fd, 0)
			}
			continue
		}
		r := Ref{Ino: st.Ino}
		var link [64]byte
		if n, err := readlinkat(dir, &path[0], link[:]); err == nil {
			if named, ok := parseRef(link[:n]); ok && named.Ino == r.Ino {
				r = named
			}
		}
		namespace(fd, r)
	}
	return buf, nil
}
