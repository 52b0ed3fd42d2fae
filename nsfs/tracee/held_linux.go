//go:build amd64 || arm64

package tracee

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
)

// Held is a stopped thread that makes system calls on demand. It is for the function
// that it was lent to.
type Held struct {
	tid    int
	resume registers // with which it goes on
	mask   uint64
	at     uint64 // of a system call instruction
	gone   bool   // ended, or let go
	// event is the last PTRACE_EVENT_* that a call led to, message what belongs to it.
	event   int
	message uint
	places  []place
}

// place is memory that the thread is to be rid of.
type place struct{ at, size uintptr }

// What keeps a thread from being held.
var (
	errForeign = errors.New("a program of 32 bits")
	errBusy    = errors.New("it waits in no system call")
)

// EXITKILL: amid somebody else's call a thread is of no use to anybody.
const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK |
	unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_EXITKILL

// PID is the thread's number, as the tracer has it.
func (h *Held) PID() int { return h.tid }

// Hold stops a thread, lends it to a function, and lets it go on. The thread is killed
// where the context ends first, or the calling process does. Signals wait until it is
// let go.
func Hold(ctx context.Context, tid int, use func(*Held) error) (err error) {
	runtime.LockOSThread() // a tracer is a thread
	defer runtime.UnlockOSThread()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err := Request(unix.PTRACE_SEIZE, tid, options); err != nil {
		return fmt.Errorf("trace pid %d: %w", tid, err)
	}
	h := &Held{tid: tid}
	stop := context.AfterFunc(ctx, func() { _ = unix.Kill(tid, unix.SIGKILL) })
	defer stop()
	if err := h.stop(); err != nil {
		return fmt.Errorf("stop pid %d: %w", tid, errors.Join(err, h.release()))
	}
	if err := h.borrow(); err != nil {
		return fmt.Errorf("have pid %d make system calls: %w", tid, errors.Join(err, h.release()))
	}
	err = use(h)
	return errors.Join(err, h.giveBack())
}

// stop interrupts the thread.
func (h *Held) stop() error {
	if err := Request(unix.PTRACE_INTERRUPT, h.tid, 0); err != nil {
		return err
	}
	for {
		s, err := h.wait()
		if err != nil {
			return err
		}
		event := int(s) >> 16
		if event == unix.PTRACE_EVENT_STOP {
			return nil
		}
		signal := uintptr(0)
		if event == 0 { // a signal that came first
			signal = uintptr(s.StopSignal())
		}
		if err := Request(unix.PTRACE_CONT, h.tid, signal); err != nil {
			return err
		}
	}
}

// wait waits until the thread stops, for whatever reason.
func (h *Held) wait() (unix.WaitStatus, error) {
	for {
		var s unix.WaitStatus
		_, err := unix.Wait4(h.tid, &s, unix.WALL, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, fmt.Errorf("wait4: %w", err)
		case !s.Stopped():
			h.gone = true
			return 0, fmt.Errorf("it was killed: %w", nsfs.ErrGone)
		default:
			return s, nil
		}
	}
}

// borrow keeps what the thread has, and blocks its signals.
func (h *Held) borrow() error {
	var r registers
	if err := Registers(unix.PTRACE_GETREGSET, h.tid, ntPRStatus, &r); err != nil {
		return err
	}
	at, ok := caller(h.tid, r)
	if !ok {
		return errBusy
	}
	h.at, h.resume = at, resumed(r)
	if err := signalMask(unix.PTRACE_GETSIGMASK, h.tid, &h.mask); err != nil {
		return err
	}
	all := uint64(math.MaxUint64)
	if err := signalMask(unix.PTRACE_SETSIGMASK, h.tid, &all); err != nil {
		return err
	}
	if err := h.leaveCall(); err != nil {
		return errors.Join(err, signalMask(unix.PTRACE_SETSIGMASK, h.tid, &h.mask))
	}
	return nil
}

// ntPRStatus is NT_PRSTATUS of linux/elf.h, the general registers.
const ntPRStatus = 1

// giveBack lets the thread go on where it was.
func (h *Held) giveBack() error {
	if h.gone {
		return nil
	}
	if err := errors.Join(h.asBefore(), h.release()); err != nil {
		return fmt.Errorf("let pid %d go on: %w", h.tid, err)
	}
	return nil
}

// asBefore has the thread be as it was.
func (h *Held) asBefore() error {
	if h.gone {
		return nil
	}
	var err error
	for _, p := range h.places {
		_, uerr := h.Call("munmap", unix.SYS_MUNMAP, p.at, p.size)
		err = errors.Join(err, uerr)
	}
	return errors.Join(err,
		Registers(unix.PTRACE_SETREGSET, h.tid, ntPRStatus, &h.resume),
		signalMask(unix.PTRACE_SETSIGMASK, h.tid, &h.mask))
}

// release traces the thread no more.
func (h *Held) release() error {
	if h.gone {
		return nil
	}
	h.gone = true
	if err := Request(unix.PTRACE_DETACH, h.tid, 0); err != nil {
		return fmt.Errorf("detach: %w", err)
	}
	return nil
}
