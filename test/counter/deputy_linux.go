package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/test/counter/counterspec"
)

// Report is what a deputy answers on its unix socket, /tmp/deputy.
type Report struct {
	PID     int  `json:"pid"`
	Child   int  `json:"child"`
	Signals int  `json:"signals"` // how many SIGCHLD it got
	Ended   bool `json:"ended"`   // the child has
	Status  int  `json:"status"`  // how, as wait4(2) has it
}

func startDeputy(s *counterspec.Process, exe string) error {
	text, err := json.Marshal(&counterspec.Process{Deputy: s.Deputy, Child: s.Child})
	if err != nil {
		return err
	}
	attr := &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: new(syscall.SysProcAttr)}
	if s.Deputy == "named" {
		attr.Sys.Cloneflags = unix.CLONE_NEWUTS
	}
	_, err = syscall.ForkExec(exe, []string{"counter", "deputy", string(text)}, attr)
	if err != nil {
		return fmt.Errorf("start the deputy: %w", err)
	}
	return nil
}

// deputy starts the child and waits for it.
func deputy(s *counterspec.Process) error {
	signals := make(chan os.Signal, 16)
	if s.Deputy == "ignores" {
		signal.Ignore(unix.SIGCHLD)
	} else {
		signal.Notify(signals, unix.SIGCHLD)
	}
	ask, err := net.Listen("unix", "/tmp/deputy")
	if err != nil {
		return err
	}
	if s.Deputy == "unshares" {
		if err := unix.Unshare(unix.CLONE_NEWPID); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
	}
	if s.Deputy == "named" {
		if err := unix.Sethostname([]byte("deputy")); err != nil {
			return fmt.Errorf("sethostname: %w", err)
		}
	}
	child, err := start(s.Child, "/proc/self/exe")
	if err != nil {
		return err
	}
	switch s.Deputy {
	case "doubles":
		second := *s.Child
		second.Root += "/inner"
		_, err = start(&second, "/proc/self/exe")
	case "filtered":
		err = filter()
	case "demoted":
		err = errors.Join(syscall.Setgroups(nil), syscall.Setresgid(1000, 1000, 1000), syscall.Setresuid(1000, 1000, 1000))
	}
	if err != nil {
		return err
	}
	r := Report{PID: os.Getpid(), Child: child}
	var mu sync.Mutex
	go func() {
		for range signals {
			mu.Lock()
			r.Signals++
			mu.Unlock()
		}
	}()
	go answer(ask, &r, &mu)
	var status syscall.WaitStatus
	for {
		if _, err = syscall.Wait4(child, &status, 0, nil); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	mu.Lock()
	r.Ended, r.Status = true, int(status)
	mu.Unlock()
	for {
		_ = unix.Pause()
	}
}

func answer(ask net.Listener, r *Report, mu *sync.Mutex) {
	for {
		c, err := ask.Accept()
		if err != nil {
			continue
		}
		mu.Lock()
		_ = json.NewEncoder(c).Encode(r)
		mu.Unlock()
		_ = c.Close()
	}
}

// filter refuses all threads of the process setns(2) and setsid(2).
func filter() error {
	load := unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS} // seccomp_data.nr
	equal := func(nr uint32, skip uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nr, Jt: skip}
	}
	ret := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	code := []unix.SockFilter{
		load, equal(unix.SYS_SETNS, 2), equal(unix.SYS_SETSID, 1),
		ret(unix.SECCOMP_RET_ALLOW), ret(unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)),
	}
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}
