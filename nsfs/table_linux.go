package nsfs

import (
	"strconv"

	"golang.org/x/sys/unix"
)

const kcmpFiles = 2 // KCMP_FILES, include/uapi/linux/kcmp.h; not in x/sys

// SharesFDs reports whether two threads have one descriptor table, as those of a
// process do until one calls unshare(CLONE_FILES) (kcmp(2), CONFIG_KCMP). It needs
// PTRACE_MODE_READ_REALCREDS over both. [ErrGone]: one of them has ended.
func (t Task) SharesFDs(tid int) (bool, error) {
	r, _, errno := unix.RawSyscall6(unix.SYS_KCMP, uintptr(t.tid), uintptr(tid), kcmpFiles, 0, 0, 0)
	if errno != 0 {
		return false, wrap("compare descriptors of", "threads "+strconv.Itoa(t.tid)+" and "+strconv.Itoa(tid), errno, fileKind)
	}
	return r == 0, nil
}

// AtRoot reports whether the task's root directory is that of its mount
// namespace, so that it sees every mount: chroot(2) makes it another. The caller
// sees it as at the root, too, where it has the same root directory itself.
func (t Task) AtRoot() (bool, error) {
	const path = cstr("root\x00")
	var b [2]byte
	n, err := readlinkat(t.fd, path.ptr(), b[:])
	if err != nil {
		return false, t.linkError("read link", path, err)
	}
	return n == 1 && b[0] == '/', nil
}
