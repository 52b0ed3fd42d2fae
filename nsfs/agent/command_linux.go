//go:build amd64 || arm64

package agent

import (
	"context"
	"encoding/binary"
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
	// 1 and 2.
	Files [3]int
	// Signals are passed on to the command. Optional.
	Signals <-chan os.Signal
}

// Command executes c in a child of the agent and waits for its end. The status
// is wait4(2)'s; an error says why there is none.
func (a *Agent) Command(ctx context.Context, c Command) (syscall.WaitStatus, error) {
	var prepare Program
	// The agent is to be told how the child ends, and the child is not to
	// inherit that it ignores its own children.
	dfl := make([]byte, 32) // struct kernel_sigaction, SIG_DFL
	prepare.Call("rt_sigaction", unix.SYS_RT_SIGACTION, Int(int(unix.SIGCHLD)), Bytes(dfl), Int(0), Int(8))
	status := NewBuffer(8)
	child := prepare.Fork(a.crew, "fork the command", ForkOptions{})
	forked := prepare.calls[len(prepare.calls)-1]
	if err := a.Run(ctx, &prepare); err != nil {
		return 0, err
	}
	if err := child.Wait(ctx); err != nil {
		return 0, err
	}
	// By its number the command would not be known again: it leaves the crew's
	// session.
	pidfd, err := unix.PidfdOpen(child.PID(), 0)
	if err != nil {
		return 0, fmt.Errorf("pidfd_open: %w", err)
	}
	defer unix.Close(pidfd)
	if !a.crew.has(child.pid) {
		return 0, fmt.Errorf("pid %d: %w", child.pid, ErrDied)
	}

	var run Program
	// It leaves the crew's process group too, which kill(2) of 0 is not to hit,
	// and has to end with the crew all the same.
	run.Call("prctl PR_SET_PDEATHSIG", unix.SYS_PRCTL, Int(unix.PR_SET_PDEATHSIG), Int(int(unix.SIGKILL)))
	run.Call("setsid", unix.SYS_SETSID).MayFail()
	run.Call("unshare descriptors", unix.SYS_UNSHARE, Int(unix.CLONE_FILES))
	for i, fd := range c.Files {
		run.Call("dup3", unix.SYS_DUP3, Int(fd), Int(i), Int(0))
	}
	run.Call("close_range", unix.SYS_CLOSE_RANGE, Int(3), Int(uint32(math.MaxUint32)), Int(0))
	execve := run.Call("execute "+c.Path, unix.SYS_EXECVE, String(c.Path), Strings(c.Args), Strings(c.Env)).MayFail()
	run.Call("exit", unix.SYS_EXIT_GROUP, Int(127))
	if err := child.Start(ctx, &run); err != nil {
		return 0, err
	}
	var wait Program
	wait.Call("wait4", unix.SYS_WAIT4, Int(forked.Value()), Out(status), Int(0), Int(0))
	if err := a.Start(ctx, &wait); err != nil {
		return 0, err
	}
	if err := a.forward(ctx, pidfd, c.Signals); err != nil {
		return 0, err
	}
	// An executed child never comes back to say so.
	child.gone, child.run = true, nil
	if err := run.collect(a.crew.arena); err != nil {
		return 0, err
	}
	if err := execve.Err(); err != nil {
		return 0, err
	}
	return syscall.WaitStatus(binary.NativeEndian.Uint32(status.Bytes(4))), nil
}

// forward waits for the agent and passes signals on to its child meanwhile.
func (a *Agent) forward(ctx context.Context, child int, signals <-chan os.Signal) error {
	done := make(chan error, 1)
	go func() { done <- a.Wait(ctx) }()
	for {
		select {
		case err := <-done:
			return err
		case s := <-signals:
			if n, ok := s.(syscall.Signal); ok {
				if err := unix.PidfdSendSignal(child, n, nil, 0); err != nil && err != unix.ESRCH {
					return fmt.Errorf("pass %v on to the command: %w", n, err)
				}
			}
		}
	}
}
