package nsfs

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

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
	deadline := time.Now().Add(d)
	for _, fd := range pidfds {
		for {
			poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			n, err := unix.Poll(poll, int(max(time.Until(deadline).Milliseconds(), 0)))
			if n > 0 {
				break
			}
			if err == nil {
				return errors.New("a process that was killed does not end")
			}
			if err != unix.EINTR {
				return fmt.Errorf("poll a pidfd: %w", err)
			}
		}
	}
	return nil
}
