//go:build amd64 || arm64

package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
)

// Agent is one single-threaded process of a crew. It is used by one goroutine
// at a time.
type Agent struct {
	crew *Crew
	slot *slot
	pid  int
	run  *Program
	off  uintptr // of run in the arena
	size uintptr
	last bool // run is its last
	gone bool
}

// Crew returns the crew that a belongs to.
func (a *Agent) Crew() *Crew { return a.crew }

// PID returns the agent's number in the pid namespace of the crew's procfs, 0
// while it was not heard of yet.
func (a *Agent) PID() int {
	if a.pid == 0 && a.slot != nil && a.slot.state.Load() == idle {
		self, _, _ := bytes.Cut(a.slot.self[:], []byte{0})
		a.pid, _ = strconv.Atoi(string(self))
	}
	return a.pid
}

// Dir returns the number, in the agents' descriptor table, of a handle of the
// agent's directory in /proc, -1 where procfs does not show it.
func (a *Agent) Dir() int {
	if a.slot.boot[1].ret <= 0 {
		return -1
	}
	return int(a.slot.boot[1].ret)
}

func (a *Agent) bootAddr() uint64 { return addrOf(a.crew.arena, &a.slot.boot[0]) }

// Run has the agent carry p out, and waits for it. The error is that of the
// first call that failed and had not been allowed to (a [*CallError]), of the
// context, or [ErrDied].
func (a *Agent) Run(ctx context.Context, p *Program) error {
	if err := a.Start(ctx, p); err != nil {
		return err
	}
	return a.Wait(ctx)
}

// Start has the agent begin with p once it is done with what it does, and does
// not wait for the end: Wait does.
func (a *Agent) Start(ctx context.Context, p *Program) error {
	return a.start(ctx, p, nil, nil)
}

// start loads p. Where end is not nil, the agent goes there, and to no further
// work, once all of p succeeded; where failed is not nil, it goes there once some of
// p failed.
func (a *Agent) start(ctx context.Context, p *Program, end, failed *op) error {
	if err := p.check(); err != nil {
		return err
	}
	if err := a.Wait(ctx); err != nil {
		return err
	}
	ar := a.crew.arena
	size := uintptr(len(p.calls))*opSize + p.size
	off, err := ar.alloc(size)
	if err != nil {
		return err
	}
	finish := addrOf(ar, &a.slot.finish)
	last := finish
	if end != nil {
		a.slot.last.then(addrOf(ar, end))
		last = addrOf(ar, &a.slot.last)
	}
	if failed != nil {
		finish = addrOf(ar, failed)
	}
	p.load(ar, off, last, finish)
	if p.undo != nil {
		leave := a.crew.leaveFirst
		if p.undoLast {
			leave = a.crew.leaveLast
		}
		if err := leave(p.undo, p.calls[len(p.calls)-1].op); err != nil {
			return err
		}
	}
	first := last
	if len(p.calls) > 0 {
		first = addr(off)
	}
	a.run, a.off, a.size, a.last = p, off, size, end != nil
	atomic.StoreUint64(&a.slot.wait.neg, first)
	a.slot.state.Store(running)
	return a.ring()
}

// ring tells the agent that there is work.
func (a *Agent) ring() error {
	if a == a.crew.guardian {
		_, err := a.crew.life.Write([]byte{1})
		return err
	}
	wake(&a.slot.state)
	return nil
}

// Wait waits until the agent is done with the last program started, and with
// being born. It returns that program's error, once.
func (a *Agent) Wait(ctx context.Context) error {
	if a.gone {
		return errGone
	}
	if err := a.idle(ctx); err != nil || a.run == nil {
		return err
	}
	p := a.run
	a.run = nil
	err := p.collect(a.crew.arena)
	a.gone = a.last && err == nil
	for _, c := range p.calls {
		if c.child == nil || c.ret <= 0 {
			continue
		}
		// A child that was not scheduled yet is still to read, in its
		// parent's record, where it goes. Only when it was heard of may the
		// memory become another program's.
		if berr := c.child.born(ctx, c); berr != nil {
			return errors.Join(err, berr)
		}
	}
	if p.undo == nil { // which goes by p's results
		a.crew.arena.release(a.off, a.size)
	}
	return err
}

// born waits until the agent that c made is ready, and sees whether it knows where
// it is. That procfs does not show it is no error.
func (a *Agent) born(ctx context.Context, c *Call) error {
	if err := a.idle(ctx); err != nil {
		return fmt.Errorf("%s: %w", c.what, err)
	}
	for _, o := range a.slot.boot {
		if errno := unix.Errno(-o.ret); o.ret < 0 && errno != unix.ENOENT {
			return &CallError{What: c.what + ": open its directory in /proc", Part: c.part, Errno: errno}
		}
	}
	return nil
}

// idle waits until the agent has nothing to do.
func (a *Agent) idle(ctx context.Context) error {
	start := time.Now()
	for a.slot.state.Load() != idle {
		waitWhile(&a.slot.state, running, 20*time.Millisecond)
		if a.slot.state.Load() == idle {
			break
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		// One that ends says before that it is done: it may have done both
		// since it was last asked.
		if (a.dead() || a.pid == 0 && time.Since(start) > birth) && a.slot.state.Load() != idle {
			return fmt.Errorf("pid %d: %w", a.pid, ErrDied)
		}
	}
	a.PID()
	return nil
}

// birth is how long a child that was forked may take to be heard of.
const birth = 30 * time.Second

// dead reports whether the agent cannot answer any more. One that was never
// heard of has its crew's fate.
func (a *Agent) dead() bool {
	if !a.crew.alive() {
		return true
	}
	return a.pid > 0 && a != a.crew.guardian && !a.crew.has(a.pid)
}

// ErrDied is returned where an agent was killed from outside.
var ErrDied = errors.New("agent was killed")

var errGone = errors.New("agent has ended")

// Fork has the agent make a child agent.
func (a *Agent) Fork(ctx context.Context, what string, o ForkOptions) (*Agent, error) {
	var p Program
	child := p.Fork(a.crew, what, o)
	if err := a.Run(ctx, &p); err != nil {
		return nil, err
	}
	if err := child.Wait(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return child, nil
}

// Exit ends the agent, without waiting until it is gone.
func (a *Agent) Exit(ctx context.Context) error {
	if err := a.StartExit(ctx, new(Program)); err != nil {
		return err
	}
	return a.Wait(ctx)
}

// StartExit is Start of p as the last program: the agent exits when it is done.
// Where p fails, it does not.
func (a *Agent) StartExit(ctx context.Context, p *Program) error {
	return a.startLast(ctx, p, &a.crew.shared.exit)
}

// Gone waits until an agent that was told to exit is no process any more, nor a
// member of any namespace.
func (a *Agent) Gone(ctx context.Context) error {
	fd, err := nsfs.OpenProcess(a.pid)
	if errors.Is(err, nsfs.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if !a.crew.has(a.pid) { // it is another's number by now
		return nil
	}
	if err := nsfs.AwaitEnd(ctx, fd); err != nil {
		return err
	}
	for a.crew.has(a.pid) && !zombie(a.pid) { // about to give its number up, see empty
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		time.Sleep(50 * time.Microsecond)
	}
	return nil
}

// Hold makes the agent let go of everything but its namespaces: it closes all
// descriptors, drops the shared memory, and pauses for ever. As the init of a
// pid namespace it reaps what it inherits, for agents ignore SIGCHLD.
func (a *Agent) Hold(ctx context.Context) error {
	if err := a.StartHold(ctx, new(Program)); err != nil {
		return err
	}
	return a.Wait(ctx)
}

// StartHold is Start of p as the last program: the agent holds when it is done.
// Where p fails, it does not.
func (a *Agent) StartHold(ctx context.Context, p *Program) error {
	return a.startLast(ctx, p, &a.crew.shared.hold)
}

// startLast starts p and leaves the agent at the record last.
func (a *Agent) startLast(ctx context.Context, p *Program, last *op) error {
	if err := a.Wait(ctx); err != nil {
		return err
	}
	var q Program
	q.append(p)
	q.Part(p.part)
	if dir := a.Dir(); dir >= 0 {
		q.Call("close", unix.SYS_CLOSE, Int(dir)).MayFail()
	}
	if last == &a.crew.shared.hold {
		// Before it says that it is done: nobody is to see a holder with
		// descriptors.
		q.Call("let go of all descriptors", unix.SYS_CLOSE_RANGE, Int(0), Int(uint32(math.MaxUint32)), Int(unix.CLOSE_RANGE_UNSHARE))
	}
	return a.start(ctx, &q, last, nil)
}

// init fills the slot of an agent that is about to be forked.
func (a *Agent) init() {
	ar, s, all := a.crew.arena, a.slot, a.crew.shared
	state, self := addrOf(ar, &s.state), addrOf(ar, &all.self)
	// The word alone says that there is work: once it is not idle, the call fails
	// (EAGAIN) and start has set where that leads. Woken, the agent looks again,
	// for the maker may wake it late, when it has done the work already.
	ar.set(&s.wait, unix.SYS_FUTEX, state, futexWait, idle)
	s.wait.then(addrOf(ar, &s.wait))
	// One call sets the word to idle (FUTEX_OP_SET 0, and a comparison that
	// wakes nobody else) and wakes who waits for that.
	ar.set(&s.finish, unix.SYS_FUTEX, state, futexWakeOp, 1, 0, state, 0)
	ar.set(&s.last, unix.SYS_FUTEX, state, futexWakeOp, 1, 0, state, 0)
	ar.set(&s.boot[0], unix.SYS_READLINKAT, fdProc, self, addrOf(ar, &s.self), uint64(len(s.self)-1))
	ar.set(&s.boot[1], unix.SYS_OPENAT, fdProc, self, unix.O_PATH|unix.O_CLOEXEC|unix.O_DIRECTORY)
	s.finish.then(addrOf(ar, &s.wait))
	s.boot[0].then(addrOf(ar, &s.boot[1]))
	s.boot[1].then(addrOf(ar, &s.finish))
	s.self = [16]byte{}
	s.state.Store(running)
}
