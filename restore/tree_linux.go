package restore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
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
	Verified   bool      `json:"verified"`
}

// Process is a process that cannot be mistaken for a later one of its number.
type Process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks since boot, of /proc/PID/stat
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
var ErrNotFound = errors.New("no such restored tree")

// StateDir is where restored trees are recorded: /run/renest, and for an
// ordinary user renest under $XDG_RUNTIME_DIR or, without one, a folder of the
// user's own among the temporary files.
func StateDir() string {
	if os.Geteuid() == 0 {
		return "/run/renest"
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "renest")
	}
	return filepath.Join(os.TempDir(), "renest-"+strconv.Itoa(os.Geteuid()))
}

// makeStateDir makes the folder of the records, which has to be the caller's
// own: what is in it says which processes [Remove] kills.
func makeStateDir() (made bool, err error) {
	dir := StateDir()
	err = os.Mkdir(dir, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return false, fmt.Errorf("make the folder of restored trees: %w", err)
	}
	return err == nil, checkStateDir(dir)
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
		if start, serr := startTime(p.PID); err == nil && boot == t.BootID && serr == nil && start == p.Start {
			alive++
		}
	}
	return alive, 1 + len(t.Holders)
}

// Remove kills the tree's processes, and with them what lives in its pid
// namespaces, waits for their end, and removes the record. Processes that
// entered other namespaces of the tree from outside are not touched, and keep
// those alive.
func Remove(name string) error {
	t, err := Find(name)
	if err != nil {
		return err
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
		fd, err := unix.PidfdOpen(p.PID, 0)
		if err != nil {
			continue // ESRCH
		}
		fds = append(fds, fd)
		// The number is that of the process meant as long as the start is.
		if start, err := startTime(p.PID); err != nil || start != p.Start {
			_ = unix.Close(fd)
			fds = fds[:len(fds)-1]
			continue
		}
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
			return fmt.Errorf("kill %d: %w", p.PID, err)
		}
	}
	deadline := time.Now().Add(30 * time.Second)
	for _, fd := range fds {
		for {
			poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			n, err := unix.Poll(poll, 1000)
			if n > 0 || err != nil && err != unix.EINTR {
				break
			}
			if time.Now().After(deadline) {
				return errors.New("a process does not end")
			}
		}
	}
	return nil
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
	return strings.TrimSpace(string(text)), err
}
