//go:build amd64 || arm64

package tracee

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Births traces a process that waits or runs, and its descendants from now on, and lends each
// process that is born to a function before it has run, until that has seen enough or the
// context ends. They go on as if nothing had been. begun is called once no birth is missed.
//
// Whatever traces them next may do so when Births has returned. If the calling process ends
// before, they are killed.
func Births(ctx context.Context, pid int, begun func(), use func(child *Held) (enough bool, err error)) error {
	runtime.LockOSThread() // a tracer is a thread
	defer runtime.UnlockOSThread()
	if err := Request(unix.PTRACE_SEIZE, pid, options); err != nil {
		return fmt.Errorf("trace pid %d: %w", pid, err)
	}
	b := births{traced: map[int]bool{pid: false}, use: use}
	begun()
	for !b.enough && b.err == nil && len(b.traced) > 0 {
		b.round()
		if ctx.Err() != nil && !b.enough && b.err == nil {
			b.err = context.Cause(ctx)
		}
	}
	err := b.err
	return errors.Join(err, b.end())
}

type births struct {
	traced map[int]bool // by number, whether it is newly born
	use    func(*Held) (bool, error)
	enough bool
	err    error
}

// pause is how long nothing has happened before it is looked again.
const pause = 50 * time.Microsecond

// round sees to each that has stopped.
func (b *births) round() {
	idle := true
	for _, tid := range slices.Collect(maps.Keys(b.traced)) {
		s, ok := b.stopped(tid)
		if !ok {
			continue
		}
		idle = false
		signal := uintptr(0)
		switch event := int(s) >> 16; {
		case event == unix.PTRACE_EVENT_STOP && b.traced[tid]:
			b.traced[tid] = false
			b.lend(tid)
		case event == 0:
			signal = uintptr(s.StopSignal())
		default:
			b.note(tid, event)
		}
		if b.enough || b.err != nil {
			b.release(tid, signal)
			return
		}
		b.fail(Request(unix.PTRACE_CONT, tid, signal))
	}
	if idle {
		time.Sleep(pause)
	}
}

// stopped reports whether a process has stopped, and why. Those that are gone are forgotten.
func (b *births) stopped(tid int) (s unix.WaitStatus, ok bool) {
	got, err := unix.Wait4(tid, &s, unix.WALL|unix.WNOHANG, nil)
	switch {
	case got == tid && s.Stopped():
		return s, true
	case got == tid || errors.Is(err, unix.ECHILD):
		delete(b.traced, tid)
	case !errors.Is(err, unix.EINTR):
		b.fail(err)
	}
	return s, false
}

// note takes a child down.
func (b *births) note(tid, event int) {
	if event != unix.PTRACE_EVENT_FORK && event != unix.PTRACE_EVENT_CLONE {
		return
	}
	child, err := unix.PtraceGetEventMsg(tid)
	b.fail(err)
	if _, known := b.traced[int(child)]; err == nil && !known {
		b.traced[int(child)] = true
	}
}

// lend lends a child to the function.
func (b *births) lend(tid int) {
	h := &Held{tid: tid}
	err := h.borrow()
	if err == nil {
		b.enough, err = b.use(h)
		err = errors.Join(err, h.asBefore())
	}
	if err != nil {
		b.fail(fmt.Errorf("pid %d, newly born: %w", tid, err))
	}
}

// fail keeps the first error. That one has ended is none: it is seen.
func (b *births) fail(err error) {
	if b.err == nil && err != nil && !errors.Is(err, unix.ESRCH) {
		b.err = err
	}
}

// release traces a process that has stopped no more.
func (b *births) release(tid int, signal uintptr) {
	delete(b.traced, tid)
	b.fail(Request(unix.PTRACE_DETACH, tid, signal))
}

// end lets go of all. Who is born meanwhile is traced, too.
func (b *births) end() error {
	b.err = nil
	asked := map[int]bool{}
	for len(b.traced) > 0 && b.err == nil {
		idle := true
		for _, tid := range slices.Collect(maps.Keys(b.traced)) {
			if !asked[tid] {
				asked[tid] = true
				b.fail(Request(unix.PTRACE_INTERRUPT, tid, 0))
			}
			s, ok := b.stopped(tid)
			if !ok {
				continue
			}
			idle = false
			signal := uintptr(0)
			event := int(s) >> 16
			if event == 0 {
				signal = uintptr(s.StopSignal())
			}
			b.note(tid, event)
			b.release(tid, signal)
		}
		if idle {
			time.Sleep(pause)
		}
	}
	if b.err != nil {
		return fmt.Errorf("let them go: %w", b.err)
	}
	return nil
}
