//go:build amd64 || arm64

package agent

import (
	"context"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Undo leaves a call with the guardian, which it makes when the crew ends
// without a Commit: before all that were left with it earlier, and before the
// crew is killed. All its arguments are known beforehand. Errors are ignored:
// there is nobody left to tell.
func (c *Crew) Undo(nr uintptr, args ...Arg) error {
	p := Program{}
	p.Call("undo", nr, args...)
	return c.leaveFirst(&p, nil)
}

// UndoLast is Undo for what is to be undone when every other process of the crew is
// gone.
func (c *Crew) UndoLast(nr uintptr, args ...Arg) error {
	p := Program{}
	p.Call("undo", nr, args...)
	return c.leaveLast(&p, nil)
}

// DoLast is Do with what is undone when every other process of the crew is gone.
func (c *Crew) DoLast(ctx context.Context, p, undo *Program) error {
	p.undoLast = true
	return c.Do(ctx, p, undo)
}

// Do has the guardian carry p out, and undo, as by Undo, in case that all of p
// succeeded: what somebody else has made is not undone, and there is no moment at
// which what p made is not. The calls of undo are made up to the first that
// fails.
func (c *Crew) Do(ctx context.Context, p, undo *Program) error {
	p.Call("mark as done", unix.SYS_GETPID)
	p.undo = undo
	return c.guardian.Run(ctx, p)
}

// leaveFirst puts p before all that the guardian is to undo.
func (c *Crew) leaveFirst(p *Program, after *op) error {
	next := &c.shared.read.zero
	return c.leave(p, after, atomic.LoadUint64(next), func(to uint64) { atomic.StoreUint64(next, to) })
}

// leaveLast puts p before all that is to be undone when the crew is gone.
func (c *Crew) leaveLast(p *Program, after *op) error {
	gone := &c.shared.kill[2]
	return c.leave(p, after, atomic.LoadUint64(&gone.neg), gone.then)
}

// leave writes calls, to be followed by next, and links them to what comes before.
// Where after is not nil, they are only for the case that this call, a getpid, was
// made.
func (c *Crew) leave(p *Program, after *op, next uint64, link func(uint64)) error {
	if p.err != nil {
		return p.err
	}
	off, err := c.arena.alloc(opSize*uintptr(1+len(p.calls)) + p.size)
	if err != nil {
		return err
	}
	first := off + opSize
	p.load(c.arena, first, next, next)
	if after != nil {
		// A number that no process has, until the guardian's own takes its place.
		after.ret = -int64(unix.ECANCELED)
		guard := c.arena.opAt(off)
		c.arena.set(guard, unix.SYS_GETSID, 0)
		guard.arg[0] = addrOf(c.arena, &after.ret)
		guard.then(addr(first))
		atomic.StoreUint64(&guard.neg, next)
		first = off
	}
	link(addr(first))
	return nil
}
