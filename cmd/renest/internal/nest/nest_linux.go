// Package nest builds a nest of namespaces out of real processes, with nothing
// but what os/exec and clone(2) offer: something for renest demo to dump that
// renest's own restore had no part in.
//
// Each process of the nest is the running executable again, called with
// [Argument] and the path of its place. It starts its children, says that it is
// ready when they are, and waits for its standard input to end.
package nest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Argument is the hidden command that a process of the nest is called with,
// followed by the path of its place.
const Argument = "demo-nest"

// place is a process of the nest: the namespaces it is born into, those it
// moves on into before it does anything, and the processes below it.
type place struct {
	name     string
	born     uintptr
	moved    uintptr
	clocks   bool // its children live an hour later
	children []place
}

const container = unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWUTS

// top is the nest: containers five deep and side by side, and one user
// namespace that no process is in (the hold moved on into another).
func top() place {
	return place{
		name: "ship", born: container | unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET,
		children: []place{
			{
				name: "deck", born: container | unix.CLONE_NEWCGROUP, clocks: true,
				children: []place{{
					name: "cabin", born: container | unix.CLONE_NEWIPC,
					children: []place{
						{name: "chest", born: container | unix.CLONE_NEWNET, children: []place{{name: "drawer", born: container}}},
						{name: "berth", born: unix.CLONE_NEWPID | unix.CLONE_NEWUTS},
					},
				}},
			},
			{name: "hold", born: container, children: []place{
				{name: "cask", born: unix.CLONE_NEWUSER, moved: unix.CLONE_NEWUSER | unix.CLONE_NEWUTS},
			}},
		},
	}
}

// Nest is a nest that stands.
type Nest struct {
	cmd   *exec.Cmd
	stdin io.Closer
}

// PID returns the outermost process.
func (n *Nest) PID() int { return n.cmd.Process.Pid }

// Start builds the nest and returns when all of it stands. As root its outermost
// user namespace maps ids from 100000; an ordinary user maps the one they have.
func Start() (*Nest, error) {
	outer := syscall.SysProcIDMap{HostID: 100000, Size: 65536}
	gouter := outer
	if os.Geteuid() != 0 {
		outer = syscall.SysProcIDMap{HostID: os.Geteuid(), Size: 1}
		gouter = syscall.SysProcIDMap{HostID: os.Getegid(), Size: 1}
	}
	n, err := start(top(), "0", outer, gouter)
	if err != nil {
		return nil, fmt.Errorf("build a nest of namespaces (are user namespaces allowed, kernel.unprivileged_userns_clone, user.max_user_namespaces?): %w", err)
	}
	return n, nil
}

// Destroy kills the nest, and waits until nothing of it is left.
func (n *Nest) Destroy() error {
	_ = n.stdin.Close()
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait() // killed
	return nil
}

// start starts the process of a place and waits until all below it stands.
func start(p place, path string, uids, gids syscall.SysProcIDMap) (*Nest, error) {
	cmd := exec.Command("/proc/self/exe", Argument, path)
	cmd.Env = append(os.Environ(), fmt.Sprintf("RENEST_DEMO_IDS=%d %d", uids.Size, gids.Size))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: p.born, Unshareflags: p.moved, Pdeathsig: syscall.SIGKILL}
	if p.born&unix.CLONE_NEWUSER != 0 {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{uids}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{gids}
		cmd.SysProcAttr.GidMappingsEnableSetgroups = gids.Size > 1
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	n := &Nest{cmd, stdin}
	if line, _ := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		_ = n.Destroy()
		return nil, fmt.Errorf("%s: did not come to stand", p.name)
	}
	return n, nil
}

// Main is the process at path.
func Main(path string) error {
	runtime.LockOSThread() // children inherit time_for_children from the thread
	p, err := find(path)
	if err != nil {
		return err
	}
	if (p.born|p.moved)&unix.CLONE_NEWUTS != 0 {
		if err := syscall.Sethostname([]byte(p.name)); err != nil {
			return fmt.Errorf("sethostname: %w", err)
		}
	}
	if p.clocks {
		if err := anHourLater(); err != nil {
			return err
		}
	}
	ids := [2]int{1, 1}
	_, _ = fmt.Sscan(os.Getenv("RENEST_DEMO_IDS"), &ids[0], &ids[1])
	for i, c := range p.children {
		if _, err := start(c, path+"."+strconv.Itoa(i), below(ids[0], i), below(ids[1], i)); err != nil {
			return err
		}
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// below maps a part of n ids for the i-th child, or the one there is.
func below(n, i int) syscall.SysProcIDMap {
	if n < 4 {
		return syscall.SysProcIDMap{Size: 1}
	}
	return syscall.SysProcIDMap{HostID: i * n / 4, Size: n / 4}
}

// anHourLater moves the calling process on into a time namespace for its
// children. Not every kernel has them.
func anHourLater() error {
	if err := unix.Unshare(unix.CLONE_NEWTIME); err != nil {
		return nil
	}
	thread := fmt.Sprintf("/proc/self/task/%d/timens_offsets", unix.Gettid())
	for _, name := range []string{"/proc/self/timens_offsets", thread} {
		if err := os.WriteFile(name, []byte("monotonic 3600 0\nboottime 3600 0\n"), 0); err == nil {
			return nil
		}
	}
	return nil // its own clocks, then
}

// find returns the place at a path such as 0.1.0.
func find(path string) (place, error) {
	p := place{children: []place{top()}}
	for s := range strings.SplitSeq(path, ".") {
		i, err := strconv.Atoi(s)
		if err != nil || i < 0 || i >= len(p.children) {
			return place{}, fmt.Errorf("no place %q in the nest", path)
		}
		p = p.children[i]
	}
	return p, nil
}
