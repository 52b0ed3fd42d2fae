package criu

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
)

// hostRoot returns where on this host a process's root directory is found: CRIU's
// --root for a restore. Empty if the file system that it is on is mounted nowhere in
// the caller's mount namespace.
func hostRoot(proc *nsfs.Proc, pid int) (string, error) {
	t, err := proc.Task(pid)
	if err != nil {
		return "", err
	}
	defer t.Close()
	self, err := proc.Self()
	if err != nil {
		return "", err
	}
	defer self.Close()
	var root nsfs.Mount
	if err := t.Mounts(func(m nsfs.Mount) {
		if m.Point == "/" {
			root = m // the last one is on top
		}
	}); err != nil {
		return "", err
	}
	var paths []string
	if err := self.Mounts(func(m nsfs.Mount) {
		rel, ok := below(root.Root, m.Root)
		if ok && m.Dev == root.Dev {
			paths = append(paths, filepath.Join(m.Point, rel))
		}
	}); err != nil {
		return "", err
	}
	var want unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/root/", pid), &want); err != nil {
		return "", &os.PathError{Op: "stat the root of", Path: fmt.Sprintf("pid %d", pid), Err: err}
	}
	for _, path := range paths {
		var st unix.Stat_t
		// Something may be mounted over it.
		if unix.Stat(path, &st) == nil && st.Dev == want.Dev && st.Ino == want.Ino {
			return path, nil
		}
	}
	return "", nil
}

// below returns path relative to dir, where it is in it.
func below(path, dir string) (rel string, ok bool) {
	if dir == "/" {
		return strings.TrimPrefix(path, "/"), strings.HasPrefix(path, "/")
	}
	rest, ok := strings.CutPrefix(path, dir)
	if !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	return strings.TrimPrefix(rest, "/"), true
}
