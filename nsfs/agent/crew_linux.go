//go:build amd64 || arm64

package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Options say how to start a crew.
type Options struct {
	// Proc is a handle of a procfs, from which agents open their own
	// directories. Required.
	Proc *os.File
	// Name is what ps shows as the command line. Optional.
	Name string
	// Files are put into the agents' descriptor table from FirstFile on.
	Files []*os.File
	// Before is called before there is any process: the crew's Family is known by
	// then, and calls can be left with it to be undone. An error is Start's.
	// Optional.
	Before func(*Crew) error
	// Kin is a crew that this one will be of the same family as. Optional.
	Kin *Crew
}

// Crew is a family of agents: a guardian, a first agent, and their
// descendants, with one descriptor table and one memory. Its methods, and those
// of its agents, are called by one goroutine at a time.
type Crew struct {
	executable executable
	arena      *arena
	shared     *shared
	first      *op      // where the guardian begins
	life       *os.File // the guardian reads the other end
	process    *os.Process
	guardian   *Agent
	root       *Agent
	agents     []*Agent
	over       bool // committed
	closed     bool
}

// Numbers in the agents' descriptor table: of Options.Proc, and of the first of
// Options.Files.
const (
	ProcFD    = fdProc
	FirstFile = fdProc + 1
)

// Start executes the guardian and its first agent, in the caller's namespaces
// and with the caller's credentials, and in a session of their own. The crew
// lives until Close, or until the caller's end.
func Start(ctx context.Context, o Options) (*Crew, error) {
	x, err := executableOf(o.Kin)
	if err != nil {
		return nil, fmt.Errorf("start agent: %w", err)
	}
	ar, err := newArena()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start agent: %w", err), x.file.Close())
	}
	c := &Crew{arena: ar, executable: x}
	abandon := func(err error) error { return errors.Join(err, ar.close(), x.file.Close()) }
	if err := c.prepare(len(o.Files)); err != nil {
		return nil, abandon(fmt.Errorf("start agent: %w", err))
	}
	if o.Before != nil {
		if err := o.Before(c); err != nil {
			return nil, abandon(err)
		}
	}
	if err := c.start(o); err != nil {
		return nil, abandon(fmt.Errorf("start agent: %w", err))
	}
	if err := c.begun(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start agent: %w", err), c.Close())
	}
	return c, nil
}

func (c *Crew) start(o Options) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return errors.Join(err, w.Close())
	}
	defer null.Close()
	name := o.Name
	if name == "" {
		name = "renest: agent"
	}
	c.life = w
	c.process, err = os.StartProcess(fmt.Sprintf("/proc/self/fd/%d", c.executable.file.Fd()), []string{name, c.executable.family.Mark}, &os.ProcAttr{
		Files: append([]*os.File{null, null, null, c.arena.file, r, o.Proc}, o.Files...),
		Env:   []string{},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return errors.Join(fmt.Errorf("execute agent (is procfs mounted at /proc, and vm.memfd_noexec below 2?): %w", err), w.Close())
	}
	c.guardian.pid = c.process.Pid
	return nil
}

// begun waits until the first agent is ready, and sees whether all of it went well
// on which the crew's end depends, and what its holders inherit.
func (c *Crew) begun(ctx context.Context) error {
	s := c.shared
	fork := &Call{what: "fork the first agent"}
	err := c.root.born(ctx, fork)
	if c.root.PID() > 0 && s.group.ret == 0 {
		// Until here the guardian kills its own group, and the first agent in it.
		atomic.StoreUint64(&s.kill[2].lit[0], uint64(-c.root.PID()))
		atomic.StoreUint64(&s.kill[1].lit[0], uint64(-c.root.PID()))
	}
	if err != nil {
		if s.fork.ret < 0 {
			return &CallError{What: fork.what, Errno: unix.Errno(-s.fork.ret)}
		}
		return err
	}
	for _, o := range []struct {
		what string
		*op
	}{
		{"ignore SIGCHLD", c.first},
		{"prctl PR_SET_CHILD_SUBREAPER", &s.boot[1]},
		{"close_range", &s.boot[3]},
		{"setpgid", &s.group},
		{"prctl PR_SET_PDEATHSIG", &s.follow[0]},
	} {
		if o.ret < 0 {
			return &CallError{What: o.what, Errno: unix.Errno(-o.ret)}
		}
	}
	return nil
}

// newAgent makes the shared part of an agent. It is never reused: a process
// that has just ended may still be about to read it.
func (c *Crew) newAgent() (*Agent, error) {
	off, err := c.arena.alloc(slotSize)
	if err != nil {
		return nil, err
	}
	a := &Agent{crew: c, slot: c.arena.slotAt(off)}
	a.init()
	c.agents = append(c.agents, a)
	return a, nil
}

// Family returns what the crew's processes are known by.
func (c *Crew) Family() Family { return c.executable.family }

// Root returns the first agent: it is in its maker's namespaces.
func (c *Crew) Root() *Agent { return c.root }

// Guardian returns the guardian, an agent too. It has to stay where it is: what
// it is told to undo, it does with its maker's rights.
func (c *Crew) Guardian() *Agent { return c.guardian }

// Commit has the guardian carry p out, and keep the crew: from the success of
// p's last call on, nothing is undone or killed any more. The guardian then
// holds the given descriptors of the agents' table, and the namespaces they
// stand for, and pauses. Where p fails, or ctx ended before, nothing has changed.
//
// It is the guardian that does it, so that there is no moment at which a killed
// maker leaves one half.
func (c *Crew) Commit(ctx context.Context, p *Program, keep []int) error {
	var leaving []*Agent
	for _, a := range c.agents {
		if a.gone || a == c.guardian || a.PID() == 0 {
			continue
		}
		if err := a.Exit(ctx); err != nil {
			return err
		}
		leaving = append(leaving, a)
	}
	for _, a := range leaving {
		if err := a.Gone(ctx); err != nil {
			return err
		}
	}
	var q Program
	q.Call("unshare descriptors", unix.SYS_UNSHARE, Int(unix.CLONE_FILES))
	q.append(p)
	// What follows the point of no return cannot fail.
	slices.Sort(keep)
	from := uint32(0)
	for _, fd := range keep {
		if uint32(fd) > from {
			q.Call("close_range", unix.SYS_CLOSE_RANGE, Int(from), Int(uint32(fd)-1), Int(0)).MayFail()
		}
		from = uint32(fd) + 1
	}
	q.Call("close_range", unix.SYS_CLOSE_RANGE, Int(from), Int(uint32(math.MaxUint32)), Int(0)).MayFail()
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	// From here on the guardian is not stopped any more: what becomes of it is
	// waited for, and the answer is one or the other.
	ctx = context.WithoutCancel(ctx)
	if err := c.guardian.start(ctx, &q, &c.shared.hold, nil); err != nil {
		return err
	}
	if err := c.guardian.Wait(ctx); err != nil {
		return err
	}
	c.over = true
	return nil
}

// Close ends a crew that was not committed: what was left to undo is undone,
// every process is killed, and all are seen to be gone. Where somebody killed the
// guardian nothing was undone, and the error is [ErrDied]. Of a committed crew it
// only gives the maker's memory back. A second Close does nothing.
func (c *Crew) Close() error {
	if c.closed {
		return nil
	}
	c.closed = true
	for _, a := range c.agents {
		a.PID() // while the memory is there to be read
		a.slot, a.gone = nil, true
	}
	err := c.life.Close()
	if c.over {
		go c.process.Wait() //nolint:errcheck // Reaps the guardian, whenever that ends.
	} else {
		err = errors.Join(err, c.await())
	}
	return errors.Join(err, c.arena.close(), c.executable.file.Close())
}

// await waits for the guardian's end, and for that of all others. Where it was
// killed, it has killed nobody.
func (c *Crew) await() error {
	state, err := c.process.Wait()
	if err != nil {
		return err
	}
	if !state.Exited() {
		return errors.Join(ErrDied, c.executable.family.kill(c.has), c.empty()) // its kin live on
	}
	if code := state.ExitCode(); code != 0 { // see the end of code_*.s
		err = &CallError{What: "map agents' shared memory", Errno: unix.Errno(code)}
	}
	return errors.Join(err, c.empty())
}

// empty waits until no agent has a number any more. The guardian has waited for
// all, but one that nobody has to be told of wakes who waits for it before it
// gives its number up (kernel/exit.c, exit_notify and release_task): it is out of
// its namespaces by then, and for a moment still in /proc.
func (c *Crew) empty() error {
	const soon = 30 * time.Second // on a host that is busy
	for start := time.Now(); ; time.Sleep(50 * time.Microsecond) {
		i := slices.IndexFunc(c.agents, func(a *Agent) bool { return a.pid > 0 && c.has(a.pid) && !zombie(a.pid) })
		if i < 0 {
			return nil
		}
		if time.Since(start) > soon {
			return fmt.Errorf("pid %d: agent does not end", c.agents[i].pid)
		}
	}
}

// zombie reports whether a process has ended and waits for its parent to ask, which
// may be an init that never does.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	i := bytes.LastIndexByte(stat, ')')
	return err == nil && bytes.HasPrefix(stat[i+1:], []byte(" Z"))
}

// alive reports whether the guardian is there.
func (c *Crew) alive() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, c.process.Pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err == nil && info.Signo == 0
}

// Has reports whether pid is a process of the crew. It asks the kernel, and may be
// called by several goroutines.
func (c *Crew) Has(pid int) bool { return c.has(pid) }

// has asks whether a process is in the crew's session, which is that of the
// guardian.
func (c *Crew) has(pid int) bool {
	sid, err := unix.Getsid(pid)
	return err == nil && sid == c.process.Pid
}
