package dump

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// Actor is a task and what it may do to a namespace and to what that governs.
type Actor struct {
	PID, TID int
	Start    uint64 // clock ticks since boot, 0 where it was not asked for
	Comm     string
	NSPID    []int
	State    byte // as /proc/PID/stat has it
	KThread  bool // one of the kernel's own

	topology.Joiner
	topology.Authority
	Join topology.Join

	// Seccomp says that a filter may refuse it what its capabilities allow.
	Seccomp bool
	// Securebits decide what an execve(2) or a change of uid does to its
	// capabilities, see capabilities(7). The kernel tells a task its own only: -1
	// is unknown.
	Securebits int
}

// Zombie reports whether the task has ended, and can do nothing any more.
func (a *Actor) Zombie() bool { return a.State == 'Z' || a.State == 'X' }

// Authority answers what a task may do to a namespace: which capabilities it holds
// over the resources that the namespace governs, and whether it could join it. It
// climbs from the namespace by descriptors and reads one task: unless the
// reference has to be searched for, its cost does not depend on the host's size.
//
// It takes the right to see the task's user namespace (PTRACE_MODE_READ_FSCREDS), and
// a kernel that has any, else [ErrNoUsers].
func (h *Host) Authority(ctx context.Context, task TaskReference, r Reference) (*Actor, error) {
	t, err := task.loc.Open(h.proc)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	ns, err := h.Open(ctx, r)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	a, err := authority(h.proc, t, ns)
	if errors.Is(err, nsfs.ErrGone) {
		if without := h.haveUsers(); without != nil {
			err = without
		}
	}
	if err != nil {
		return nil, err
	}
	a.Start = task.loc.Start
	return a, nil
}

// tries bounds how often a task is read that keeps changing its user namespace.
const tries = 8

// authority answers for an open task and an open namespace.
func authority(p *nsfs.Proc, t nsfs.Task, ns *nsfs.NS) (*Actor, error) {
	for range tries {
		user, err := t.Ref(nsfs.InUser)
		if err != nil {
			return nil, unreadable(t.PID(), err)
		}
		c, err := climbFrom(ns, user.Ino)
		if err != nil {
			return nil, err
		}
		var a judge
		if err := a.read(t); err != nil {
			return nil, unreadable(t.PID(), err)
		}
		if c.ambiguous(a.creds.UID[1]) {
			if err := c.readOverflow(p); err != nil {
				return nil, err
			}
		}
		actor, err := a.actor(t, c, user)
		if err != nil {
			return nil, unreadable(t.PID(), err)
		}
		// The task was in this user namespace while all above the target was
		// held: the inode numbers that were compared are of one moment.
		if again, err := t.Ref(nsfs.InUser); err != nil || again == user {
			return actor, err
		}
	}
	return nil, fmt.Errorf("process %d went from one user namespace to another %d times while it was looked at", t.PID(), tries)
}

// unreadable says what to do about a task that may not be looked at.
func unreadable(pid int, err error) error {
	if pid != 0 && errors.Is(err, nsfs.ErrDenied) {
		return fmt.Errorf("process %d: its namespaces may not be read (it takes CAP_SYS_PTRACE over it, or its uid and all its capabilities): %w", pid, err)
	}
	return err
}

// judge answers for one task after the other.
type judge struct{ creds nsfs.Credentials }

func (j *judge) read(t nsfs.Task) error { return t.Credentials(&j.creds) }

// actor answers for a task that was read, and is in the user namespace user.
func (j *judge) actor(t nsfs.Task, c *climb, user nsfs.Ref) (*Actor, error) {
	s := &j.creds
	a := &Actor{
		PID: t.PID(), TID: t.TID(), Comm: s.Name, NSPID: slices.Clone(s.NSPID), State: s.State,
		KThread: s.KThread, Seccomp: s.Seccomp != 0, Securebits: -1,
	}
	a.Joiner = topology.Joiner{Threads: s.Threads, Credentials: topology.Credentials{
		User:        c.users[user.Ino],
		EUID:        s.UID[1],
		Inheritable: topology.CapSet(s.Inheritable),
		Permitted:   topology.CapSet(s.Permitted),
		Effective:   topology.CapSet(s.Effective),
		Bounding:    topology.CapSet(s.Bounding),
		Ambient:     topology.CapSet(s.Ambient),
		NoNewPrivs:  s.NoNewPrivs,
		// Its link could be read, which takes the caller to be in its user
		// namespace or to hold CAP_SYS_PTRACE over it (cap_ptrace_access_check,
		// security/commoncap.c): so it is not above the caller's, nor beside it.
		InSight: true,
	}}
	if a.Joiner.User == nil {
		a.Joiner.User = &topology.Namespace{Type: topology.User, Ino: user.Ino}
	}
	if c.target.Type == topology.PID {
		if err := j.pid(t, a, c); err != nil {
			return nil, err
		}
	}
	a.Authority = topology.Authorize(a.Joiner.Credentials, c.target, c.creator(a.EUID))
	a.Join = a.CanJoin(a.Authority)
	if t.PID() == unix.Getpid() {
		if bits, err := unix.PrctlRetInt(unix.PR_GET_SECUREBITS, 0, 0, 0, 0); err == nil {
			a.Securebits = bits
		}
	}
	return a, nil
}

// pid finds the task's pid namespace among those above the target. The procfs
// shows tasks in the caller's own pid namespace and below it only, and the climb
// sees as far up as that: one that is not among them is not above the target.
func (j *judge) pid(t nsfs.Task, a *Actor, c *climb) error {
	ref, err := t.Ref(nsfs.InPID)
	if err != nil {
		return err
	}
	if a.PIDNS = c.pids[ref.Ino]; a.PIDNS == nil {
		a.PIDNS = &topology.Namespace{Type: topology.PID, Ino: ref.Ino}
	}
	return nil
}
