package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/test/counter/counterspec"
)

func main() {
	// Time offsets are those of the first thread: be that one.
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		err := unix.Exec("/proc/self/exe", os.Args, os.Environ())
		fmt.Fprintln(os.Stderr, "counter: execute once more:", err)
		os.Exit(1)
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "counter:", err)
		os.Exit(1)
	}
}

// run takes the part in play: what to do is "SPEC", with a word before it for a process
// that was started by another.
func run(args []string) error {
	var spec counterspec.Process
	if len(args) == 0 {
		return errors.New("usage: counter SPEC")
	}
	part := ""
	if len(args) == 2 {
		part = args[0]
	}
	if err := json.Unmarshal([]byte(args[len(args)-1]), &spec); err != nil {
		return fmt.Errorf("spec: %w", err)
	}
	switch part {
	case "":
		pid, err := start(&spec, "/proc/self/exe")
		if err != nil {
			return err
		}
		fmt.Println(pid)
		return nil
	case "born":
		return settle(&spec)
	case "time":
		return enterRoot(&spec)
	case "live":
		return live(&spec)
	case "deputy":
		return deputy(&spec)
	case "owner":
		if err := loopbackUp(); err != nil {
			return err
		}
		fmt.Println("ready")
		return unix.Pause()
	case "client":
		return client()
	}
	return fmt.Errorf("unknown part %q", part)
}

// start starts the process that a spec describes.
func start(s *counterspec.Process, exe string) (int, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return 0, err
	}
	attr := &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{0, 2, 2}, // the output is the caller's answer
		Sys: &syscall.SysProcAttr{Setsid: true, Cloneflags: uintptr(flags(s.New))},
	}
	if s.Has("user") {
		ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: s.Outside, Size: s.Count}}
		attr.Sys.UidMappings, attr.Sys.GidMappings, attr.Sys.GidMappingsEnableSetgroups = ids, ids, true
		attr.Sys.Credential = &syscall.Credential{}
	}
	pid, err := syscall.ForkExec(exe, []string{"counter", "born", string(text)}, attr)
	if err != nil {
		return 0, fmt.Errorf("start a process in new %v: %w", s.New, err)
	}
	return pid, nil
}

func flags(types []string) int {
	all := map[string]int{
		"user": unix.CLONE_NEWUSER, "pid": unix.CLONE_NEWPID, "mnt": unix.CLONE_NEWNS, "uts": unix.CLONE_NEWUTS,
		"ipc": unix.CLONE_NEWIPC, "net": unix.CLONE_NEWNET, "cgroup": unix.CLONE_NEWCGROUP,
	}
	f := 0
	for _, t := range types {
		f |= all[t]
	}
	return f
}

// settle gives the new namespaces what they are to have.
func settle(s *counterspec.Process) error {
	if s.Has("uts") && s.Hostname != "" {
		if err := unix.Sethostname([]byte(s.Hostname)); err != nil {
			return fmt.Errorf("sethostname: %w", err)
		}
	}
	if s.Has("net") {
		if err := loopbackUp(); err != nil {
			return fmt.Errorf("set lo up: %w", err)
		}
	}
	if s.Foreign > 0 {
		return emigrate(s)
	}
	if s.Has("mnt") {
		if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("make mounts private: %w", err)
		}
		if s.Has("pid") {
			if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
				return fmt.Errorf("mount proc: %w", err)
			}
		}
	}
	if s.Has("time") {
		if err := unix.Unshare(unix.CLONE_NEWTIME); err != nil {
			return fmt.Errorf("unshare clocks: %w", err)
		}
		text := fmt.Sprintf("monotonic %d 0\nboottime %d 0\n", s.Offset, s.Offset)
		if err := os.WriteFile("/proc/self/timens_offsets", []byte(text), 0); err != nil {
			return err
		}
		return again("/proc/self/exe", "time", s) // to be in it
	}
	return enterRoot(s)
}

// emigrate moves to a net namespace of a nested user namespace, which is left alone.
func emigrate(s *counterspec.Process) error {
	ids := []syscall.SysProcIDMap{{Size: s.Foreign}}
	cmd := exec.Command("/proc/self/exe", "owner", "{}")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNET, Credential: &syscall.Credential{},
		UidMappings: ids, GidMappings: ids, GidMappingsEnableSetgroups: true,
	}
	cmd.Stdin, cmd.Stderr = os.Stdin, os.Stderr // there may be no /dev/null
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the owner: %w", err)
	}
	if _, err := out.Read(make([]byte, 8)); err != nil {
		return fmt.Errorf("the owner: %w", err)
	}
	net, err := unix.Open(fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Setns(net, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter its net namespace: %w", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		return err
	}
	_ = cmd.Wait()
	s.Foreign = 0
	return again("/proc/self/exe", "time", s) // with all threads
}

func again(exe, part string, s *counterspec.Process) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return fmt.Errorf("execute %s: %w", exe, unix.Exec(exe, []string{"counter", part, string(text)}, os.Environ()))
}

// enterRoot changes the root directory, and lets go of everything outside of it.
func enterRoot(s *counterspec.Process) error {
	if s.Root == "" {
		return live(s)
	}
	for _, m := range []struct {
		source, target, fstype string
		flags                  uintptr
	}{
		{s.Root, s.Root, "", unix.MS_BIND},
		{"proc", filepath.Join(s.Root, "proc"), "proc", 0},
	} {
		if err := unix.Mount(m.source, m.target, m.fstype, m.flags, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	if err := os.Chdir(s.Root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount the old root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := silence("/tmp/log"); err != nil {
		return err
	}
	return again("/counter", "live", s)
}

// silence makes the standard files ones that are to be had in the container.
func silence(path string) error {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	for i := range 3 {
		if err := unix.Dup3(fd, i, 0); err != nil {
			return err
		}
	}
	return errors.Join(unix.Close(fd), unix.CloseRange(3, 1<<20, 0))
}

// live starts the child and the service, and reaps.
func live(s *counterspec.Process) error {
	exe := "/proc/self/exe"
	if s.Root != "" {
		exe = "/counter"
	}
	if s.Odd {
		// IPPROTO_MPTCP: Unsupported proto 262 for socket
		if _, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP); err != nil {
			return fmt.Errorf("socket: %w", err)
		}
	}
	if s.Queue {
		if _, _, errno := unix.Syscall(unix.SYS_MSGGET, 0, 0o600, 0); errno != 0 { // IPC_PRIVATE
			return fmt.Errorf("msgget: %w", errno)
		}
	}
	if s.Scratch {
		if err := scratch(); err != nil {
			return fmt.Errorf("make a root directory: %w", err)
		}
	}
	if s.Child != nil && s.Deputy != "" {
		if err := startDeputy(s, exe); err != nil {
			return err
		}
	} else if s.Child != nil {
		if _, err := start(s.Child, exe); err != nil {
			return err
		}
	}
	if s.Serve {
		if err := serve(); err != nil {
			return err
		}
	}
	for {
		if _, err := syscall.Wait4(-1, nil, 0, nil); err == syscall.ECHILD {
			// A container in it may be about to come back.
			_ = unix.Pause()
		}
	}
}

// scratch makes a root directory that is seen in this mount namespace alone.
func scratch() error {
	if err := unix.Mount("scratch", "/scratch", "tmpfs", 0, "mode=0755"); err != nil {
		return err
	}
	for _, d := range []string{"root", "root/proc", "root/tmp"} {
		if err := os.Mkdir("/scratch/"+d, 0o755); err != nil {
			return err
		}
	}
	b, err := os.ReadFile("/counter")
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile("/scratch/root/counter", b, 0o755), os.Chmod("/scratch/root/tmp", 0o777|os.ModeSticky))
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req)
}

// port is where the service listens.
const port = 7070

func address() string { return "127.0.0.1:" + strconv.Itoa(port) }
