package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Spec is one process, the namespaces it is the first in, and its children.
type Spec struct {
	Name string   `json:"name"`
	New  []string `json:"new,omitempty"` // types by the kernel's names; pid brings mnt
	// Outside is the parent's id of the first id of a new user namespace, Count
	// how many there are. Nothing is mapped where Count is zero.
	Outside int `json:"outside,omitempty"`
	Count   int `json:"count,omitempty"`
	// Hostname and Domain are for a new UTS namespace.
	Hostname string `json:"hostname,omitempty"`
	Domain   string `json:"domain,omitempty"`
	// Offset is added to the monotonic and the boot-time clock of a new time
	// namespace, in seconds.
	Offset int `json:"offset,omitempty"`
	// Set are settings of the new namespaces, by their names in /proc/sys, and
	// PIDMax one of those that only some kernels have: Linux 6.14 and newer.
	Set    map[string]string `json:"set,omitempty"`
	PIDMax int               `json:"pid_max,omitempty"`
	// Loopback brings lo up.
	Loopback bool `json:"loopback,omitempty"`
	// Leave ends the process once its children are ready, before its parent is: its
	// namespaces go on without a task.
	Leave    bool   `json:"leave,omitempty"`
	Children []Spec `json:"children,omitempty"`
}

func main() {
	// A new time namespace is made for a thread, and /proc shows the offsets of the
	// first thread's alone: be that one, which main mostly is, but need not be.
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		err := unix.Exec("/proc/self/exe", os.Args, os.Environ())
		fmt.Fprintln(os.Stderr, "nest: execute once more:", err)
		os.Exit(1)
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "nest:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: nest SPEC")
	}
	var spec Spec
	if err := json.Unmarshal([]byte(args[0]), &spec); err != nil {
		return fmt.Errorf("spec: %w", err)
	}
	if os.Getenv("NEST_CHILD") == "" {
		// The outermost process is in the namespaces that it was started in; what
		// it is the first in, a child is.
		spec = Spec{Name: "outermost", Children: []Spec{spec}}
	}
	if err := settle(spec); err != nil {
		return fmt.Errorf("%s: %w", spec.Name, err)
	}
	var children []*exec.Cmd
	for _, child := range spec.Children {
		cmd, err := start(child)
		if err != nil {
			return fmt.Errorf("%s: start %s: %w", spec.Name, child.Name, err)
		}
		if child.Leave { // before anybody looks
			if err := cmd.Wait(); err != nil {
				return fmt.Errorf("%s: %s: %w", spec.Name, child.Name, err)
			}
			continue
		}
		children = append(children, cmd)
	}
	fmt.Printf("ready %s %d\n", spec.Name, os.Getpid())
	if spec.Leave {
		return nil
	}
	return stay(children)
}

// settle makes the namespaces that this process is the first in what spec says.
func settle(spec Spec) error {
	if spec.has("pid") || spec.has("mnt") {
		if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("make / private: %w", err)
		}
	}
	if spec.has("pid") {
		// Maps are written by pid, and the old /proc has other pids.
		if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
			return fmt.Errorf("mount /proc: %w", err)
		}
	}
	if spec.Hostname != "" {
		if err := unix.Sethostname([]byte(spec.Hostname)); err != nil {
			return fmt.Errorf("sethostname: %w", err)
		}
	}
	if spec.Domain != "" {
		if err := unix.Setdomainname([]byte(spec.Domain)); err != nil {
			return fmt.Errorf("setdomainname: %w", err)
		}
	}
	if spec.Loopback {
		if err := loopbackUp(); err != nil {
			return fmt.Errorf("bring lo up: %w", err)
		}
	}
	return set(spec)
}

// set writes settings, in the order of their names.
func set(spec Spec) error {
	for _, name := range slices.Sorted(maps.Keys(spec.Set)) {
		if err := os.WriteFile("/proc/sys/"+strings.ReplaceAll(name, ".", "/"), []byte(spec.Set[name]), 0); err != nil {
			return err
		}
	}
	if spec.PIDMax != 0 {
		// On an older kernel it is the host's, and who is root here may not.
		err := os.WriteFile("/proc/sys/kernel/pid_max", fmt.Append(nil, spec.PIDMax), 0)
		if err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}

func (s Spec) has(kind string) bool {
	for _, k := range s.New {
		if k == kind {
			return true
		}
	}
	return false
}

// flags of clone(2) by the name of what they make.
func flags(names []string) (uintptr, error) {
	var all uintptr
	for _, name := range names {
		switch name {
		case "user":
			all |= unix.CLONE_NEWUSER
		case "mnt":
			all |= unix.CLONE_NEWNS
		case "uts":
			all |= unix.CLONE_NEWUTS
		case "ipc":
			all |= unix.CLONE_NEWIPC
		case "pid":
			all |= unix.CLONE_NEWPID | unix.CLONE_NEWNS
		case "cgroup":
			all |= unix.CLONE_NEWCGROUP
		case "net":
			all |= unix.CLONE_NEWNET
		case "time": // made by the parent
		default:
			return 0, fmt.Errorf("no type of namespace is called %q", name)
		}
	}
	return all, nil
}

// start starts a child in its new namespaces and waits until it is ready.
func start(spec Spec) (*exec.Cmd, error) {
	clone, err := flags(spec.New)
	if err != nil {
		return nil, err
	}
	if spec.has("time") {
		if err := unshareTime(spec.Offset); err != nil {
			return nil, err
		}
	}
	arg, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/proc/self/exe", string(arg))
	cmd.Env = append(os.Environ(), "NEST_CHILD=1")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: clone}
	if spec.Count > 0 {
		m := []syscall.SysProcIDMap{{HostID: spec.Outside, Size: spec.Count}}
		cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings = m, m
		cmd.SysProcAttr.GidMappingsEnableSetgroups = maySetgroups()
		cmd.SysProcAttr.Credential = &syscall.Credential{NoSetGroups: true}
	}
	return cmd, startAndHear(cmd, spec)
}

// maySetgroups tells whether a new user namespace may leave setgroups(2) allowed:
// it takes privilege, and what was denied once is denied below.
func maySetgroups() bool {
	data, err := os.ReadFile("/proc/self/setgroups")
	return err == nil && os.Geteuid() == 0 && strings.TrimSpace(string(data)) == "allow"
}

// startAndHear starts cmd and passes on what it says until it is ready itself.
func startAndHear(cmd *exec.Cmd, spec Spec) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd.Stdout = w
	err = cmd.Start()
	_ = w.Close()
	if err != nil {
		return err
	}
	var said strings.Builder
	buf := make([]byte, 4096)
	for !strings.Contains(said.String(), "ready "+spec.Name+" ") {
		n, err := r.Read(buf)
		if err != nil {
			return fmt.Errorf("it ended before it was ready: %w", errors.Join(err, cmd.Wait()))
		}
		said.Write(buf[:n])
	}
	_, err = io.WriteString(os.Stdout, said.String())
	return err
}

// unshareTime makes a time namespace for the children of this thread.
func unshareTime(offset int) error {
	if err := unix.Unshare(unix.CLONE_NEWTIME); err != nil {
		return fmt.Errorf("unshare time: %w", err)
	}
	text := fmt.Sprintf("monotonic %d 0\nboottime %d 0\n", offset, offset)
	if err := os.WriteFile("/proc/self/timens_offsets", []byte(text), 0); err != nil {
		return fmt.Errorf("timens_offsets: %w", err)
	}
	return nil
}

// stay waits for the end. The first in a pid namespace is its init: it reaps.
func stay(children []*exec.Cmd) error {
	end := make(chan os.Signal, 1)
	signal.Notify(end, unix.SIGTERM, unix.SIGINT)
	if os.Getenv("NEST_CHILD") == "" {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			end <- unix.SIGTERM
		}()
	}
	go func() {
		for {
			if _, err := unix.Wait4(-1, nil, 0, nil); err != nil && !errors.Is(err, unix.EINTR) {
				return
			}
		}
	}()
	<-end
	for _, cmd := range children {
		_ = cmd.Process.Kill()
	}
	return nil
}
