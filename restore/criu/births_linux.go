package criu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/nsfs/tracee"
	"github.com/renest/renest/topology"
)

// births are the processes that CRIU forks. A time namespace is entered by a process of one
// thread alone (timens_install, kernel/time/namespace.c), which all of them are when they
// are born: CRIU makes threads when all processes are there.
type births struct {
	l      *layerRun
	guide  *agent.Agent
	in     map[*topology.Namespace]*agent.Agent
	number map[*topology.Namespace]int // of who is in one, for who is born
	missed map[int]*topology.Task      // who is not born yet, by number
	cancel context.CancelCauseFunc
	done   chan struct{}
	err    error // once that is closed
}

var errNotBorn = errors.New("CRIU has not made them")

// attend has the processes that CRIU is about to fork enter their time namespaces, where
// there are several.
func (l *layerRun) attend() error {
	clocks := func(n *topology.Namespace) bool { return n.Type == topology.Time }
	// Where the first task has a restored parent, CRIU traces it (restore_root_task,
	// criu/cr-restore.c).
	if l.parent != nil || !slices.ContainsFunc(l.apart(), clocks) {
		return nil
	}
	if err := l.meet(int(l.first)); err != nil {
		return fmt.Errorf("find the restored task: %w", err)
	}
	root, err := status(l.r.proc, l.pid)
	if err != nil {
		return err
	}
	b := &births{
		l: l, in: map[*topology.Namespace]*agent.Agent{}, missed: map[int]*topology.Task{},
		number: map[*topology.Namespace]int{l.layer.in(topology.Time): root.NSPID[len(root.NSPID)-1]},
		done:   make(chan struct{}),
	}
	for _, t := range l.layer.tasks[1:] {
		if t.TID == t.PID && t.Namespaces[topology.InMnt] != nil { // no zombie
			b.missed[t.NSPID[len(t.NSPID)-1]] = t
		}
	}
	if err := b.prepare(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(l.ctx)
	b.cancel, l.births = cancel, b
	begun := make(chan struct{})
	go func() {
		defer close(b.done)
		b.err = tracee.Births(ctx, l.pid, func() { close(begun) }, func(h *tracee.Held) (bool, error) {
			err := b.born(h)
			return len(b.missed) == 0, err
		})
	}()
	select {
	case <-begun:
		return nil
	case <-b.done:
		return b.err
	}
}

// prepare puts an agent into each of the namespaces. CRIU chooses the number of each
// task, and those of the agents are to be others.
func (b *births) prepare() (err error) {
	l := b.l
	if b.guide, err = l.guideBeside(); err != nil {
		return err
	}
	if l.layer.init() {
		number, err := l.freeNumber()
		if err != nil {
			return err
		}
		// The next one may be a task's, and in use for a moment after the agent is gone.
		a, err := b.guide.Fork(l.ctx, "fork beside what was restored", agent.ForkOptions{SetTID: []int{number}})
		if err != nil {
			return err
		}
		var p agent.Program
		setLast(&p, l.layer.in(topology.PID), number-1)
		if err := errors.Join(a.Run(l.ctx, &p), a.Exit(l.ctx), a.Gone(l.ctx)); err != nil {
			return err
		}
	}
	for _, n := range l.apart() {
		if n.Type != topology.Time {
			continue
		}
		if b.in[n], b.number[n], err = l.beside(b.guide, n); err != nil {
			return err
		}
	}
	return nil
}

// freeNumber returns a number of which the images know no task or thread.
func (l *layerRun) freeNumber() (int, error) {
	names, err := imageNames(filepath.Join(l.r.o.Dir, l.layer.record.Dir))
	number := outOfTheWay(0)
	for slices.Contains(names, fmt.Sprintf("core-%d.img", number)) {
		number++
	}
	return number, err
}

// born leads a process that was just born into the time namespace that it is to be in.
func (b *births) born(h *tracee.Held) error {
	s, err := status(b.l.r.proc, h.PID())
	if err != nil {
		return err
	}
	t := b.missed[s.NSPID[len(s.NSPID)-1]]
	if t == nil || s.TGID != s.PID {
		return nil // one of CRIU's helpers
	}
	delete(b.missed, s.NSPID[len(s.NSPID)-1])
	want := t.Namespaces[topology.InTime]
	there := b.l.pid
	if a := b.in[want]; a != nil {
		there = a.PID()
	}
	number, ok := b.number[want]
	is, err1 := os.Readlink(fmt.Sprintf("/proc/%d/ns/time", h.PID()))
	is2be, err2 := os.Readlink(fmt.Sprintf("/proc/%d/ns/time", there))
	if err := errors.Join(err1, err2); err != nil || !ok || is == is2be {
		return err
	}
	if err := join(h, number, unix.CLONE_NEWTIME); err != nil {
		return fmt.Errorf("lead task %d into %s: %w", t.PID, want.Name(), err)
	}
	return nil
}

// stop makes sure that all were born as they are to be, and ends the agents.
func (b *births) stop() error {
	if b == nil {
		return nil
	}
	b.abandon()
	err := b.err
	for _, a := range b.in {
		err = errors.Join(err, a.Exit(b.l.ctx), a.Gone(b.l.ctx))
	}
	return errors.Join(err, b.guide.Exit(b.l.ctx))
}

// abandon traces nobody any more.
func (b *births) abandon() {
	if b != nil {
		b.cancel(errNotBorn)
		<-b.done
	}
}
