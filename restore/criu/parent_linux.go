package criu

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	dumpcriu "github.com/renest/renest/dump/criu"
	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/tracee"
	"github.com/renest/renest/topology"
)

// parent is a restored task that is to be the parent of the first task of another
// layer. A process gets its parent when it is made, and an orphan only an init or a
// subreaper. So the task has to fork, while it waits to be let run by the CRIU that
// restored it, with its creds and its seccomp filters still to come: what it makes
// becomes another CRIU, which makes its tasks as its siblings (criu restore -S).
//
// The task is not to notice: its child is waited for, and the SIGCHLD taken back.
type parent struct {
	pid   int // of the task
	model int // of the agent that is where CRIU is to be
	proc  *nsfs.Proc
	// own says that it is not the task that is to be the parent, but its own parent,
	// which is the calling process.
	own bool

	criu    int // CRIU's pid
	number  int // and that in the task's pid namespace
	pidfd   int
	pending bool // the task had a SIGCHLD before
}

// start has the task fork CRIU.
func (p *parent) start(ctx context.Context, prog dumpcriu.Program) error {
	return tracee.Hold(ctx, p.pid, func(h *tracee.Held) (err error) {
		if p.pending, err = pendingChild(h); err != nil {
			return err
		}
		var flags uintptr
		if p.own {
			flags = unix.CLONE_PARENT
			if err := join(h, p.model, unix.CLONE_NEWPID); err != nil { // its children are to be there
				return err
			}
		}
		if p.criu, err = h.Fork(flags, func(c *tracee.Held) error { return p.become(c, prog) }); err != nil {
			return err
		}
		// Dead or alive it is there, for only the task can wait for it.
		if p.pidfd, err = unix.PidfdOpen(p.criu, 0); err != nil {
			return fmt.Errorf("pidfd_open: %w", err)
		}
		s, err := status(p.proc, p.criu)
		if err == nil {
			p.number = s.NSPID[len(s.NSPID)-1]
		}
		return err
	})
}

// become makes CRIU of a copy of the task: it goes where the agent is, and takes the
// agent's descriptors in place of its own.
func (p *parent) become(c *tracee.Held, prog dumpcriu.Program) error {
	model, err := status(p.proc, p.model)
	if err != nil {
		return err
	}
	apart, err := namespacesApart(p.pid, p.model)
	if err != nil {
		return err
	}
	// Out of the task's session, whose terminal may have signals for it.
	if _, err := c.Call("setsid", unix.SYS_SETSID); err != nil {
		return err
	}
	if err := takeFiles(c, model.NSPID[len(model.NSPID)-1], apart, prog); err != nil {
		return err
	}
	_, _ = c.Call("setgroups", unix.SYS_SETGROUPS, 0, 0)
	for _, id := range []struct {
		what string
		nr   uintptr
	}{{"setresgid", unix.SYS_SETRESGID}, {"setresuid", unix.SYS_SETRESUID}} {
		if _, err := c.Call(id.what, id.nr, 0, 0, 0); err != nil {
			return err
		}
	}
	if _, err := c.Call("umask", unix.SYS_UMASK, 0o022); err != nil {
		return err
	}
	if err := defaultSignals(c); err != nil {
		return err
	}
	copyLimits(p.model, c.PID())
	return c.Execute(prog.Path, dumpcriu.Arguments(), dumpcriu.Environment())
}

// takeFiles gives a process CRIU's descriptors, of those that the agent has, and leads
// it into the namespaces that the agent is in.
func takeFiles(c *tracee.Held, agent int, apart uintptr, prog dumpcriu.Program) error {
	if _, err := c.Call("close_range", unix.SYS_CLOSE_RANGE, 0, uintptr(uint32(math.MaxUint32)), 0); err != nil {
		return err
	}
	pidfd, err := c.Call("pidfd_open", unix.SYS_PIDFD_OPEN, uintptr(agent), 0)
	if err != nil {
		return err
	}
	// In this order they are 1 and up, at their places but for the first.
	for _, fd := range append([]int{prog.Stdin, prog.Log, prog.Wire}, prog.More...) {
		got, err := c.Call("pidfd_getfd", unix.SYS_PIDFD_GETFD, uintptr(pidfd), uintptr(fd), 0)
		if err != nil {
			return err
		}
		if _, err := c.Call("fcntl F_SETFD", unix.SYS_FCNTL, uintptr(got), unix.F_SETFD, 0); err != nil {
			return err
		}
	}
	if apart != 0 {
		if _, err := c.Call("setns", unix.SYS_SETNS, uintptr(pidfd), apart); err != nil {
			return err
		}
	}
	for _, to := range []struct{ from, to uintptr }{{1, 0}, {2, 1}} { // the log is 1 and 2
		if _, err := c.Call("dup3", unix.SYS_DUP3, to.from, to.to, 0); err != nil {
			return err
		}
	}
	return nil
}

// namespacesApart returns the flags of the types of which two tasks are in different
// namespaces, but for pid.
func namespacesApart(a, b int) (flags uintptr, err error) {
	for _, t := range topology.Types {
		if t == topology.PID {
			continue
		}
		one, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", a, t))
		if errors.Is(err, os.ErrNotExist) {
			continue // a type that the kernel has not
		}
		if err != nil {
			return 0, err
		}
		other, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", b, t))
		if err != nil {
			return 0, err
		}
		if one != other {
			flags |= uintptr(nsfs.Link(topology.LinkOf(t)).Type())
		}
	}
	return flags, nil
}

// defaultSignals has a process ignore no signal: that would outlive execve(2).
func defaultSignals(c *tracee.Held) error {
	at, err := c.Place(32, func(uint64) []byte { return make([]byte, 32) }) // struct kernel_sigaction, SIG_DFL
	if err != nil {
		return err
	}
	for sig := unix.SIGHUP; sig <= 64; sig++ {
		if sig == unix.SIGKILL || sig == unix.SIGSTOP {
			continue
		}
		if _, err := c.Call("rt_sigaction", unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(at), 0, 8); err != nil {
			return err
		}
	}
	return nil
}

// copyLimits gives a process the resource limits of another, as far as that may be:
// those of a restored task are not CRIU's.
func copyLimits(from, to int) {
	for what := range 16 { // RLIM_NLIMITS
		var limit unix.Rlimit
		if unix.Prlimit(from, what, nil, &limit) == nil {
			_ = unix.Prlimit(to, what, &limit, nil)
		}
	}
}

// wait waits for CRIU's end, and has the task forget that it was its child.
func (p *parent) wait(ctx context.Context) (ws syscall.WaitStatus, err error) {
	if err := nsfs.AwaitEnd(ctx, p.pidfd); err != nil {
		return 0, err
	}
	if p.own {
		_, err := unix.Wait4(p.criu, (*unix.WaitStatus)(&ws), 0, nil)
		return ws, err
	}
	err = tracee.Hold(ctx, p.pid, func(h *tracee.Held) error {
		at, err := h.Place(4, func(uint64) []byte { return make([]byte, 4) })
		if err != nil {
			return err
		}
		_, err = h.Call("wait4", unix.SYS_WAIT4, uintptr(p.number), uintptr(at), unix.WALL, 0)
		if errors.Is(err, unix.ECHILD) { // it ignores SIGCHLD: what its CRIU has to say was said
			return nil
		}
		if err != nil {
			return err
		}
		var b [4]byte
		if _, err := tracee.ReadMemory(p.pid, uintptr(at), b[:]); err != nil {
			return err
		}
		ws = syscall.WaitStatus(binary.NativeEndian.Uint32(b[:]))
		return p.takeBack(h)
	})
	return ws, err
}

// takeBack takes the SIGCHLD that CRIU's end was: of this signal there is one at most.
func (p *parent) takeBack(h *tracee.Held) error {
	now, err := pendingChild(h)
	if err != nil || p.pending || !now {
		return err
	}
	at, err := h.Place(24, func(uint64) []byte { // a signal set, and no time to wait
		return append(binary.NativeEndian.AppendUint64(nil, sigchld), make([]byte, 16)...)
	})
	if err == nil {
		_, err = h.Call("rt_sigtimedwait", unix.SYS_RT_SIGTIMEDWAIT, uintptr(at), 0, uintptr(at+8), 8)
	}
	return err
}

// sigchld is the signal set with SIGCHLD alone.
const sigchld = 1 << (unix.SIGCHLD - 1)

// pendingChild reports whether a SIGCHLD waits to be delivered.
func pendingChild(h *tracee.Held) (bool, error) {
	at, err := h.Place(8, func(uint64) []byte { return make([]byte, 8) })
	if err != nil {
		return false, err
	}
	if _, err := h.Call("rt_sigpending", unix.SYS_RT_SIGPENDING, uintptr(at), 8); err != nil {
		return false, err
	}
	var b [8]byte
	_, err = tracee.ReadMemory(h.PID(), uintptr(at), b[:])
	return binary.NativeEndian.Uint64(b[:])&sigchld != 0, err
}

func (p *parent) close() error {
	if p == nil || p.pidfd < 0 {
		return nil
	}
	// Where all went well it is gone.
	if err := unix.PidfdSendSignal(p.pidfd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
		return errors.Join(fmt.Errorf("kill CRIU: %w", err), unix.Close(p.pidfd))
	}
	return unix.Close(p.pidfd)
}

// find returns the pid of a restored task.
func (r *restorer) find(t *topology.Task) (int, error) {
	for _, l := range r.done {
		if !slices.Contains(l.layer.tasks, t) {
			continue
		}
		root, err := status(r.proc, l.pid)
		if err != nil {
			return 0, err
		}
		for pids := []int{l.pid}; len(pids) > 0; pids = pids[1:] {
			s, err := status(r.proc, pids[0])
			if err != nil {
				continue // none of CRIU's tasks
			}
			if len(s.NSPID) == len(root.NSPID) && s.NSPID[len(s.NSPID)-1] == t.NSPID[len(t.NSPID)-1] {
				return pids[0], nil
			}
			pids = append(pids, children(pids[0])...)
		}
	}
	return 0, fmt.Errorf("task %d (%s), which had the number %d, is not there", t.PID, t.Comm, t.NSPID[len(t.NSPID)-1])
}
