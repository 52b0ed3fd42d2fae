package restore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// StateDir is where restored trees are recorded: /run/renest, and for whoever must
// not write to /run (an ordinary user, or root of but a user namespace) renest under
// $XDG_RUNTIME_DIR or, without one, a folder of the user's own among the temporary
// files.
func StateDir() string {
	if os.Geteuid() == 0 && unix.Faccessat(unix.AT_FDCWD, "/run", unix.W_OK, unix.AT_EACCESS) == nil {
		return "/run/renest"
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "renest")
	}
	return filepath.Join(os.TempDir(), "renest-"+strconv.Itoa(os.Geteuid()))
}

// makeStateDir makes the folder of the records, which has to be the caller's
// own: what is in it says which processes [Remove] kills.
func makeStateDir() error {
	dir := StateDir()
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the folder of restored trees: %w", err)
	}
	return checkStateDir(dir)
}

func checkStateDir(dir string) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return &fs.PathError{Op: "lstat", Path: dir, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
		return fmt.Errorf("%s is not a folder that only you can write to: remove it", dir)
	}
	return nil
}

// writeRecord writes a file that is not there yet into the folder of the records,
// and makes that. Who removes the last record of all removes the folder, at whatever
// moment: then it is made again.
func writeRecord(path string, content []byte) error {
	const tries = 1000
	var err error
	for range tries {
		err = makeStateDir()
		if err == nil {
			err = writeNew(path, content)
		}
		// EPERM is what ext4 says of a folder that was removed while it was being
		// opened (__ext4_new_inode, fs/ext4/ialloc.c).
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.EPERM) {
			return err
		}
		if _, perr := os.Lstat(filepath.Dir(StateDir())); perr != nil {
			return err // where there is nothing to make it in
		}
	}
	return err
}

// writeNew writes a file that is not there yet, which comes into being in one
// piece. The error is [fs.ErrExist] where it is there.
func writeNew(path string, content []byte) error {
	fd, err := unix.Open(filepath.Dir(path), unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &fs.PathError{Op: "open a nameless file in", Path: filepath.Dir(path), Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
		if err != nil {
			err = &fs.PathError{Op: "link", Path: path, Err: err}
		}
	}
	cerr := f.Close()
	if err == nil && cerr != nil { // the caller is told that there is none
		cerr = errors.Join(cerr, os.Remove(path))
	}
	return errors.Join(err, cerr)
}
