//go:build amd64 || arm64

package agent

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Command is a program to execute where an agent is.
type Command struct {
	Path string // of the executable, as the agent's mount namespace has it
	Args []string
	Env  []string
	// Files are descriptors of the agents' table above 2, for the command's 0,
	// 1 and 2. More are for its 3 and up, and have to be above the highest of
	// these numbers.
	Files [3]int
	More  []int
	// Signals are passed on to the command, and an interrupt, as a terminal does it, to
	// all in its process group. Optional.
	Signals <-chan os.Signal
	// Outlive lets the command live on where the crew ends first. It is for one
	// that notices by itself, and is not to be killed at any odd moment.
	Outlive bool
}

// Running is a command that was started.
type Running struct {
	PID int // in the pid namespace of the crew's procfs

	agent     *Agent
	child     *Agent
	pidfd     int
	run, wait Program
	execve    *Call
	status    *Buffer
	signals   <-chan os.Signal
}

// Command executes c in a child of the agent and waits for its end. The status
// is wait4(2)'s; an error says why there is none.
func (a *Agent) Command(ctx context.Context, c Command) (syscall.WaitStatus, error) {
	r, err := a.StartCommand(ctx, c)
	if err != nil {
		return 0, err
	}
	return r.Wait(ctx)
}

// StartCommand executes c in a child of the agent and does not wait for its end:
// Wait does, and has to be called. The agent can do nothing else until then,
// others of the crew can.
func (a *Agent) StartCommand(ctx context.Context, c Command) (*Running, error) {
	var prepare Program
	// The agent is to be told how the child ends, and the child is not to
	// inherit that it ignores its own children.
	dfl := make([]byte, 32) // struct kernel_sigaction, SIG_DFL
	// Where it is the command need not be its friend.
	prepare.protect()
	prepare.Call("rt_sigaction", unix.SYS_RT_SIGACTION, Int(int(unix.SIGCHLD)), Bytes(dfl), Int(0), Int(8))
	r := &Running{agent: a, status: NewBuffer(8), signals: c.Signals}
	r.child = prepare.Fork(a.crew, "fork the command", ForkOptions{})
	forked := prepare.calls[len(prepare.calls)-1]
	if err := a.Run(ctx, &prepare); err != nil {
		return nil, err
	}
	if err := r.child.Wait(ctx); err != nil {
		return nil, err
	}
	// By its number the command would not be known again: it leaves the crew's
	// session.
	var err error
	if r.pidfd, err = unix.PidfdOpen(r.child.PID(), 0); err != nil {
		return nil, fmt.Errorf("pidfd_open: %w", err)
	}
	r.PID = r.child.PID()
	if err := r.start(ctx, c, forked); err != nil {
		return nil, errors.Join(err, unix.Close(r.pidfd))
	}
	return r, nil
}

func (r *Running) start(ctx context.Context, c Command, forked *Call) error {
	if !r.agent.crew.has(r.PID) {
		return fmt.Errorf("pid %d: %w", r.PID, ErrDied)
	}
	p := &r.run
	// It leaves the crew's process group too, which kill(2) of 0 is not to hit,
	// and has to end with the crew all the same.
	if !c.Outlive {
		p.Call("prctl PR_SET_PDEATHSIG", unix.SYS_PRCTL, Int(unix.PR_SET_PDEATHSIG), Int(int(unix.SIGKILL)))
	}
	p.Call("setsid", unix.SYS_SETSID).MayFail()
	p.Call("unshare descriptors", unix.SYS_UNSHARE, Int(unix.CLONE_FILES))
	for i, fd := range append(c.Files[:], c.More...) {
		if fd <= i {
			return fmt.Errorf("execute %s: descriptor %d cannot become its %d", c.Path, fd, i)
		}
		p.Call("dup3", unix.SYS_DUP3, Int(fd), Int(i), Int(0))
	}
	p.Call("close_range", unix.SYS_CLOSE_RANGE, Int(3+len(c.More)), Int(uint32(math.MaxUint32)), Int(0))
	r.execve = p.Call("execute "+c.Path, unix.SYS_EXECVE, String(c.Path), Strings(c.Args), Strings(c.Env)).MayFail()
	p.Call("exit", unix.SYS_EXIT_GROUP, Int(127))
	// Where any of it fails the child ends, for the agent waits for that.
	if err := r.child.start(ctx, p, nil, &r.agent.crew.shared.exit); err != nil {
		return err
	}
	r.wait.Call("wait4", unix.SYS_WAIT4, Int(forked.Value()), Out(r.status), Int(0), Int(0))
	return r.agent.Start(ctx, &r.wait)
}

// Wait waits for the command's end.
func (r *Running) Wait(ctx context.Context) (syscall.WaitStatus, error) {
	defer unix.Close(r.pidfd)
	if err := r.forward(ctx); err != nil {
		return 0, err
	}
	// An executed child never comes back to say so.
	r.child.gone, r.child.run = true, nil
	if err := r.run.collect(r.agent.crew.arena); err != nil {
		return 0, err
	}
	if err := r.execve.Err(); err != nil {
		return 0, err
	}
	return syscall.WaitStatus(binary.NativeEndian.Uint32(r.status.Bytes(4))), nil
}

// forward waits for the agent and passes signals on to its child meanwhile.
func (r *Running) forward(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- r.agent.Wait(ctx) }()
	for {
		select {
		case err := <-done:
			return err
		case s := <-r.signals:
			if n, ok := s.(syscall.Signal); ok {
				if err := r.pass(n); err != nil && err != unix.ESRCH {
					return fmt.Errorf("pass %v on to the command: %w", n, err)
				}
			}
		}
	}
}

// pass sends a signal to the command. To its session the terminal of the caller is none,
// so that a shell there has no job control, and what it runs is in its own group.
func (r *Running) pass(n syscall.Signal) error {
	const group = 4 // PIDFD_SIGNAL_PROCESS_GROUP of Linux 6.9, include/uapi/linux/pidfd.h
	if n == syscall.SIGINT {
		err := unix.PidfdSendSignal(r.pidfd, n, nil, group)
		if err == unix.EINVAL && unix.PidfdSendSignal(r.pidfd, 0, nil, 0) == nil {
			err = unix.Kill(-r.PID, n)
		}
		if err != unix.ESRCH { // it is not that far yet
			return err
		}
	}
	return unix.PidfdSendSignal(r.pidfd, n, nil, 0)
}
