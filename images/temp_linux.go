package images

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// oTmpfile is O_TMPFILE of include/uapi/asm-generic/fcntl.h, which package
// syscall lacks.
const oTmpfile = 0x400000 | syscall.O_DIRECTORY

// openUnnamed creates a file in dir that has no name (O_TMPFILE, open(2), since
// Linux 3.11). It fails where the file system has no such files, and where there
// is no /proc, through which linkUnnamed goes.
func openUnnamed(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, oTmpfile|os.O_RDWR, fileMode)
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(procPath(f)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func procPath(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }
