package restore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
)

// Tree is a restored tree that was left standing. It is recorded in [StateDir].
type Tree struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	BootID  string    `json:"boot_id"`
	// From is the host that the image came from.
	From string `json:"from"`
	// Keeper holds descriptors of the namespaces in which no holder is. The
	// holders are its descendants.
	Keeper  Process   `json:"keeper"`
	Holders []Process `json:"holders"`
	// Innermost is the holder in the deepest namespaces, 0 where there is none.
	Innermost  int       `json:"innermost"`
	Namespaces []Binding `json:"namespaces"`
	Pins       *PinSet   `json:"pins,omitempty"`
	Verified   bool      `json:"verified"`
	// Cgroups were made for the tree, those above first.
	Cgroups []string `json:"cgroups,omitempty"`
}

// Process is a process that cannot be mistaken for a later one of its number.
type Process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks since boot, of /proc/PID/stat
}

// alive reports whether the process is there, in this boot of the kernel.
func (p Process) alive() bool {
	start, err := startTime(p.PID)
	return err == nil && start == p.Start
}

// Binding says which namespace stands for one of the image.
type Binding struct {
	Image string `json:"image"`
	Live  string `json:"live"`
	NSID  uint64 `json:"nsid"`
	Path  string `json:"path"`
	PID   int    `json:"pid"`
}

// ErrNotFound is returned where there is no tree of a name.
var ErrNotFound = errors.New("no such restored tree (renest ps lists them)")

// Find reads the record of one tree.
func Find(name string) (*Tree, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	dir := StateDir()
	if err := checkStateDir(dir); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s: %w", name, ErrNotFound)
		}
		return nil, err
	}
	path := filepath.Join(dir, name)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", name, ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	t := new(Tree)
	if err := json.Unmarshal(text, t); err != nil {
		return nil, fmt.Errorf("the record of %s is damaged: end its processes, and remove %s: %w", name, path, err)
	}
	t.Name = name
	return t, nil
}

// List reads the records of all trees, by name.
func List() ([]*Tree, error) {
	entries, err := os.ReadDir(StateDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var trees []*Tree
	for _, e := range entries {
		if CheckName(e.Name()) != nil || !e.Type().IsRegular() {
			continue
		}
		t, ferr := Find(e.Name())
		if errors.Is(ferr, ErrNotFound) {
			continue // removed meanwhile
		}
		if ferr != nil {
			err = errors.Join(err, ferr)
			continue
		}
		trees = append(trees, t)
	}
	return trees, err
}

// processes returns the keeper and the holders.
func (t *Tree) processes() []Process {
	return append([]Process{t.Keeper}, t.Holders...)
}

// Alive returns how many of the tree's processes are there, and how many there
// should be.
func (t *Tree) Alive() (alive, all int) {
	boot, err := bootID()
	for _, p := range t.processes() {
		if err == nil && boot == t.BootID && p.alive() {
			alive++
		}
	}
	return alive, 1 + len(t.Holders)
}

// Remove takes away the tree's bind mounts, and the files and folders made for
// them, kills its processes, and with them what lives in its pid namespaces, waits
// for their end, and removes the record. Processes that entered other namespaces
// of the tree from outside are not touched, and keep those alive. Of a restore that
// was killed, guardian and all, it removes what is left; one that goes on it
// refuses.
func Remove(name string) error {
	err := removeTree(name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	left, cerr := readClaim(name)
	if errors.Is(cerr, fs.ErrNotExist) {
		_ = os.Remove(StateDir()) // if a restore was killed when it had made but that
		return err
	}
	if cerr == nil && left.underway() {
		return fmt.Errorf("remove %s: process %d is restoring it: end that first", name, left.Maker.PID)
	}
	if cerr == nil {
		cerr = left.clean()
	}
	if cerr != nil {
		return fmt.Errorf("remove %s: %w", name, cerr)
	}
	return nil
}

// removeTree removes a tree that was left standing.
func removeTree(name string) error {
	t, err := Find(name)
	if err != nil {
		return err
	}
	if err := t.Pins.remove(); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	boot, err := bootID()
	if err != nil {
		return err
	}
	if boot == t.BootID {
		if err := killAll(t.processes()); err != nil {
			return fmt.Errorf("remove %s: %w", name, err)
		}
	}
	for _, dir := range slices.Backward(t.Cgroups) {
		if err := unix.Rmdir(dir); err != nil && err != unix.ENOENT {
			return fmt.Errorf("remove %s: cgroup %s, which was made for it: %w", name, dir, err)
		}
	}
	if err := os.Remove(filepath.Join(StateDir(), name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_ = os.Remove(StateDir()) // where this was the last
	return nil
}

// killAll kills processes and waits until they are gone.
func killAll(list []Process) error {
	var fds []int
	defer func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}()
	for _, p := range list {
		fd, err := nsfs.OpenProcess(p.PID)
		if errors.Is(err, nsfs.ErrGone) {
			continue
		}
		if err != nil {
			return err
		}
		// The number is that of the process meant as long as the start is.
		if !p.alive() {
			_ = unix.Close(fd)
			continue
		}
		fds = append(fds, fd)
	}
	return nsfs.End(fds, 30*time.Second)
}

// startTime reads when a process started (field 22 of /proc/PID/stat), which
// tells it from others that had the number.
func startTime(pid int) (uint64, error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may hold anything.
	rest := string(stat[strings.LastIndexByte(string(stat), ')')+1:])
	fields := strings.Fields(rest)
	if len(fields) < 20 || fields[0] == "Z" {
		return 0, fmt.Errorf("process %d has ended", pid)
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

func bootID() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("tell this boot from others: %w: this needs all of /proc: mount it (mount -t proc proc /proc)", err)
	}
	return strings.TrimSpace(string(text)), nil
}
