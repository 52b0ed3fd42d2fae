package nsfs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// OpenProcess opens a pidfd of a process, for [End]. [ErrGone] where no process has that
// number, or the one that had it is just giving it up: up to Linux 6.15 that is EINVAL
// (pidfd_prepare, kernel/fork.c), as is the number of a thread. Linux 5.3.
func OpenProcess(pid int) (int, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	switch err {
	case nil:
		return fd, nil
	case unix.ESRCH, unix.EINVAL, unix.ENOENT:
		return -1, fmt.Errorf("pid %d: %w", pid, ErrGone)
	}
	return -1, fmt.Errorf("pidfd_open %d: %w", pid, err)
}

// End kills the processes that the given pidfds refer to, and waits until they are
// gone, for no longer than d. Those that ended already are none.
//
// It needs what kill(2) wants: the same uid, or CAP_KILL in the processes' user
// namespaces. Linux 5.3 (pidfd_send_signal and poll of a pidfd).
func End(pidfds []int, d time.Duration) error {
	for _, fd := range pidfds {
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
			return fmt.Errorf("kill a process: %w", err)
		}
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), d, errors.New("a process that was killed does not end"))
	defer cancel()
	for _, fd := range pidfds {
		if err := AwaitEnd(ctx, fd); err != nil {
			return err
		}
	}
	return nil
}

// AwaitEnd waits until the process that a pidfd refers to has ended. It may still be a
// zombie then. The error is the context's cause. Linux 5.3.
func AwaitEnd(ctx context.Context, pidfd int) error {
	for {
		poll := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		const look = 20 // milliseconds until the context is asked
		switch n, err := unix.Poll(poll, look); {
		case n > 0:
			return nil
		case err != nil && err != unix.EINTR:
			return fmt.Errorf("poll a pidfd: %w", err)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
	}
}
