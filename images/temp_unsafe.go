//go:build linux

package images

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// Of include/uapi/linux/fcntl.h, which package syscall lacks.
const (
	atFdcwd         = -100  // AT_FDCWD
	atSymlinkFollow = 0x400 // AT_SYMLINK_FOLLOW
)

// linkUnnamed names a file of openUnnamed's. linkat(2) with AT_EMPTY_PATH would
// take CAP_DAC_READ_SEARCH; following the link in /proc takes nothing.
func linkUnnamed(f *os.File, path string) error {
	from, err := syscall.BytePtrFromString(procPath(f))
	if err != nil {
		return err
	}
	to, err := syscall.BytePtrFromString(path)
	if err != nil {
		return err
	}
	cwd := atFdcwd
	_, _, errno := syscall.Syscall6(syscall.SYS_LINKAT, uintptr(cwd), uintptr(unsafe.Pointer(from)),
		uintptr(cwd), uintptr(unsafe.Pointer(to)), atSymlinkFollow, 0)
	runtime.KeepAlive(f)
	if errno != 0 {
		return &os.LinkError{Op: "linkat", Old: procPath(f), New: path, Err: errno}
	}
	return nil
}
