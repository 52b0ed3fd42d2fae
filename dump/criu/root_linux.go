package criu

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
)

// findRoot returns where a process's root directory is found, as the process seer sees
// it: CRIU's --root for a restore. Empty if the file system that it is on is mounted
// nowhere in that one's mount namespace.
func findRoot(proc *nsfs.Proc, pid, seer int) (string, error) {
	t, err := proc.Task(pid)
	if err != nil {
		return "", err
	}
	defer t.Close()
	other, err := proc.Task(seer)
	if err != nil {
		return "", err
	}
	defer other.Close()
	var root nsfs.Mount
	if err := t.Mounts(func(m nsfs.Mount) {
		if m.Point == "/" {
			root = m // the last one is on top
		}
	}); err != nil {
		return "", err
	}
	var paths []string
	if err := other.Mounts(func(m nsfs.Mount) {
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
		if unix.Stat(fmt.Sprintf("/proc/%d/root%s", seer, path), &st) == nil && st.Dev == want.Dev && st.Ino == want.Ino {
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
