package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// seen is a namespace as the kernel's ioctls show it, asked here and not through
// any code of renest's.
type seen struct {
	Kind          string
	Owner, Parent string // names, or why there is none
}

// nsKinds are the names of the eight links that say where a task is.
func nsKinds() []string {
	return []string{"user", "mnt", "uts", "ipc", "pid", "cgroup", "net", "time"}
}

// shape is a set of namespaces by name.
type shape map[string]seen

// add asks about the namespace that path leads to, and about every owner and
// parent above it, and returns its name.
func (s shape) add(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	return s.addFD(fd)
}

func (s shape) addFD(fd int) (string, error) {
	// The link of a descriptor spells the name: mnt:[4026531841].
	name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return "", err
	}
	if _, ok := s[name]; ok {
		return name, nil
	}
	var kind string
	for i, c := range name {
		if c == ':' {
			kind = name[:i]
		}
	}
	s[name] = seen{Kind: kind} // before going up: user namespaces own themselves in no cycle, yet be safe
	owner, err := s.edge(fd, unix.NS_GET_USERNS)
	if err != nil {
		return "", err
	}
	parent := ""
	if kind == "user" || kind == "pid" {
		if parent, err = s.edge(fd, unix.NS_GET_PARENT); err != nil {
			return "", err
		}
	}
	s[name] = seen{kind, owner, parent}
	return name, nil
}

// edge follows one of the ioctls that open another namespace.
func (s shape) edge(fd int, request uint) (string, error) {
	up, err := unix.IoctlRetInt(fd, request)
	if err == unix.EPERM {
		return "out of sight", nil
	}
	if err != nil {
		return "", fmt.Errorf("ioctl %#x: %w", request, err)
	}
	defer unix.Close(up)
	return s.addFD(up)
}

// taskShape is what the tasks pids are in.
func taskShape(t *testing.T, pids []int) shape {
	t.Helper()
	s := shape{}
	for _, pid := range pids {
		for _, kind := range append(nsKinds(), "pid_for_children", "time_for_children") {
			if _, err := s.add(filepath.Join("/proc", strconv.Itoa(pid), "ns", kind)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s
}

// tree lists root and the processes below it.
func tree(t *testing.T, root int) []int {
	t.Helper()
	pids := []int{root}
	for i := 0; i < len(pids); i++ {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pids[i]))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range tasks {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, numbers(string(data))...)
		}
	}
	slices.Sort(pids)
	return pids
}

// numbers reads the numbers in a text of words.
func numbers(text string) []int {
	var all []int
	n, digits := 0, false
	for _, c := range text + " " {
		switch {
		case c >= '0' && c <= '9':
			n, digits = 10*n+int(c-'0'), true
		case digits:
			all = append(all, n)
			n, digits = 0, false
		}
	}
	return all
}
