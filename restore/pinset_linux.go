package restore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/topology"
)

// PinSet is what a tree has in the file system: bind mounts of its namespaces, the
// files that they are mounted on, and folders made for these.
type PinSet struct {
	// Mnt is the mount namespace in which they are.
	Mnt     string     `json:"mnt"`
	Mounts  []PinMount `json:"mounts"`
	Folders []string   `json:"folders"` // the outermost first
}

// PinMount is a bind mount of a namespace.
type PinMount struct {
	Image string `json:"image"`
	Live  string `json:"live"` // empty where it was not made yet
	Path  string `json:"path"`
}

// remove unmounts and removes what s names, as far as it is what was made: other
// files, other mounts and folders that are in use stay. Where nothing is there any
// more it is content.
func (s *PinSet) remove() error {
	if s == nil {
		return nil
	}
	if mnt, err := os.Readlink("/proc/self/ns/mnt"); err != nil || mnt != s.Mnt {
		return errors.Join(err, s.elsewhere())
	}
	var errs []error
	for _, m := range slices.Backward(s.Mounts) {
		if err := m.remove(); err != nil {
			errs = append(errs, fmt.Errorf("unpin %s: %w", m.Path, err))
		}
	}
	for _, dir := range slices.Backward(s.Folders) {
		err := in(dir, func(up int, name string) error { return unix.Unlinkat(up, name, unix.AT_REMOVEDIR) })
		if err != nil && !gone(err) && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.EBUSY) {
			errs = append(errs, fmt.Errorf("remove folder %s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}

// elsewhere reports that the mount namespace of s has to be entered, unless it is
// no more: then neither are the mounts.
func (s *PinSet) elsewhere() error {
	_, ino, err := topology.ParseName(s.Mnt)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		var st unix.Stat_t
		if err := unix.Stat("/proc/"+e.Name()+"/ns/mnt", &st); err == nil && st.Ino == ino {
			return fmt.Errorf("its pins are in %s: do it there (renest enter %s/mnt -- renest …)", s.Mnt, e.Name())
		}
	}
	return nil
}

func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) }

// remove takes a bind mount and its file away.
func (m PinMount) remove() error {
	err := in(m.Path, func(up int, name string) error {
		fd, err := unix.Openat(up, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		mounted, err := m.shownBy(fd)
		if err != nil {
			return err
		}
		if mounted {
			if err := unix.Unmount(fmt.Sprintf("/proc/self/fd/%d/%s", up, name), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
				return fmt.Errorf("umount: %w", err)
			}
		}
		return removeEmpty(up, name)
	})
	if gone(err) {
		return nil
	}
	return err
}

// shownBy reports whether the file is the namespace that was mounted.
func (m PinMount) shownBy(fd int) (bool, error) {
	var sfs unix.Statfs_t
	if err := unix.Fstatfs(fd, &sfs); err != nil {
		return false, err
	}
	if sfs.Type != unix.NSFS_MAGIC {
		return false, nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, err
	}
	if m.Live == "" { // nobody knows which it became: it is in the place meant for it
		return true, nil
	}
	_, ino, err := topology.ParseName(m.Live)
	return ino == st.Ino, err
}

// removeEmpty removes a file unless it is not what a pin is mounted on.
func removeEmpty(up int, name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(up, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size != 0 || st.Mode&0o7777&^0o444 != 0 {
		return nil // somebody has put it there since
	}
	err := unix.Unlinkat(up, name, 0)
	if errors.Is(err, unix.EBUSY) { // something else is mounted on it
		return nil
	}
	return err
}

// in calls do with the folder that a path is in, to which no symbolic link leads,
// and the name in there.
func in(at string, do func(up int, name string) error) error {
	dir := strings.TrimPrefix(path.Dir(at), "/")
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	if dir == "" {
		return do(root, path.Base(at))
	}
	up, err := unix.Openat2(root, dir, &inFolder)
	if err != nil {
		return err
	}
	defer unix.Close(up)
	return do(up, path.Base(at))
}
