//go:build amd64 || arm64

package tracee

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
)

// Call has the thread make a system call. What names it in an error, which wraps that
// of the call.
func (h *Held) Call(what string, nr uintptr, args ...uintptr) (int, error) {
	if h.gone {
		return 0, fmt.Errorf("%s in pid %d: %w", what, h.tid, nsfs.ErrGone)
	}
	var all [6]uint64
	for i, a := range args {
		all[i] = uint64(a)
	}
	r := calling(h.resume, h.at, uint64(nr), all)
	err := Registers(unix.PTRACE_SETREGSET, h.tid, ntPRStatus, &r)
	if err == nil {
		err = h.through()
	}
	if err == nil {
		err = Registers(unix.PTRACE_GETREGSET, h.tid, ntPRStatus, &r)
	}
	if ret := result(r); err == nil && ret < 0 && ret > -4096 {
		err = unix.Errno(-ret)
	}
	if err != nil {
		return 0, fmt.Errorf("%s in pid %d: %w", what, h.tid, err)
	}
	return int(result(r)), nil
}

// through has the thread go through one system call, or up to the program that it
// executes.
func (h *Held) through() error {
	h.event, h.message = 0, 0
	if err := h.toEnd(); err != nil || h.event == unix.PTRACE_EVENT_EXEC {
		return err
	}
	return h.toEnd()
}

// toEnd has the thread go on to the beginning or the end of a system call, or to the
// program that it executes.
func (h *Held) toEnd() error {
	for {
		if err := Request(unix.PTRACE_SYSCALL, h.tid, 0); err != nil {
			return fmt.Errorf("ptrace: %w", err)
		}
		s, err := h.wait()
		if err != nil {
			return err
		}
		switch event := int(s) >> 16; {
		case s.StopSignal() == unix.SIGTRAP|0x80:
			return nil
		case event == unix.PTRACE_EVENT_EXEC:
			h.event = event
			return nil
		case event != 0 && event != unix.PTRACE_EVENT_STOP:
			h.event = event
			if h.message, err = unix.PtraceGetEventMsg(h.tid); err != nil {
				return fmt.Errorf("ptrace: %w", err)
			}
		} // else a signal that cannot be blocked: SIGSTOP
	}
}

// Fork has the thread fork, and lends the child to a function, which is to have it
// execute something. Otherwise it is killed, and is the parent's to be waited for. The
// number is the tracer's for it. Flags are those of clone(2): CLONE_PARENT makes the
// child one of the thread's parent.
func (h *Held) Fork(flags uintptr, use func(child *Held) error) (pid int, err error) {
	if _, err := h.Call("fork", unix.SYS_CLONE, flags|uintptr(unix.SIGCHLD)); err != nil {
		return 0, err
	}
	if h.event != unix.PTRACE_EVENT_FORK && h.event != unix.PTRACE_EVENT_CLONE {
		return 0, fmt.Errorf("fork in pid %d: its child is not traced", h.tid)
	}
	child := &Held{tid: int(h.message), resume: h.resume, at: h.at}
	defer func() { err = errors.Join(err, child.kill()) }()
	if _, err := child.wait(); err != nil {
		return 0, fmt.Errorf("child %d of pid %d: %w", child.tid, h.tid, err)
	}
	return child.tid, use(child)
}

// kill ends a child that still is a copy of its parent.
func (h *Held) kill() error {
	if h.gone {
		return nil
	}
	if err := unix.Kill(h.tid, unix.SIGKILL); err != nil {
		return fmt.Errorf("kill pid %d: %w", h.tid, err)
	}
	for !h.gone {
		if _, err := h.wait(); err != nil && !h.gone {
			return err
		}
	}
	return nil
}

// Place puts bytes into memory of the thread that is new, and returns where, which
// build is told before. It is there until the thread goes on.
func (h *Held) Place(size int, build func(at uint64) []byte) (uint64, error) {
	at, err := h.Call("mmap", unix.SYS_MMAP, 0, uintptr(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS, ^uintptr(0), 0)
	if err != nil {
		return 0, err
	}
	h.places = append(h.places, place{uintptr(at), uintptr(size)})
	b := build(uint64(at))
	n, err := unix.ProcessVMWritev(h.tid,
		[]unix.Iovec{{Base: &b[0], Len: uint64(len(b))}},
		[]unix.RemoteIovec{{Base: uintptr(at), Len: len(b)}}, 0)
	if err == nil && n != len(b) {
		err = unix.EFAULT
	}
	if err != nil {
		return 0, fmt.Errorf("write memory of pid %d: %w", h.tid, err)
	}
	return uint64(at), nil
}

// Execute has the thread, which is the only one of its process, execute a program with
// no signal blocked, and lets go of it.
func (h *Held) Execute(path string, args, env []string) error {
	size := 8 * (len(args) + len(env) + 2)
	for _, s := range append(append([]string{path}, args...), env...) {
		size += len(s) + 1
	}
	var argv, envp, name uint64
	if _, err := h.Place(size, func(at uint64) []byte {
		b := make([]byte, 8*(len(args)+len(env)+2), size)
		put := func(s string) uint64 {
			where := at + uint64(len(b))
			b = append(append(b, s...), 0)
			return where
		}
		list := func(first int, list []string) uint64 { // ends with the zero that is there
			for i, s := range list {
				binary.NativeEndian.PutUint64(b[8*(first+i):], put(s))
			}
			return at + uint64(8*first)
		}
		argv, envp, name = list(0, args), list(len(args)+1, env), put(path)
		return b
	}); err != nil {
		return err
	}
	var none uint64
	if err := signalMask(unix.PTRACE_SETSIGMASK, h.tid, &none); err != nil {
		return err
	}
	if _, err := h.Call("execute "+path, unix.SYS_EXECVE, uintptr(name), uintptr(argv), uintptr(envp)); err != nil && h.event != unix.PTRACE_EVENT_EXEC {
		return err
	}
	return h.release()
}
