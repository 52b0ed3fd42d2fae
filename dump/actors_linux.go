package dump

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// Actors are the tasks that hold capabilities over what a namespace governs.
type Actors struct {
	Target *topology.Namespace
	Actors []*Actor // by pid, then tid
	// Complete is false where some could not be looked at; Missing says which.
	Complete bool
	Missing  []string
}

// Actors finds all tasks that hold a capability of want over the resources which a
// namespace governs: the inverse of [Host.Authority]. Threads are listed where they
// hold other capabilities than the leader of their process. [ErrNoUsers] is as in
// Authority.
func (h *Host) Actors(ctx context.Context, r Reference, want topology.CapSet) (*Actors, error) {
	p := h.proc
	if err := h.haveUsers(); err != nil {
		return nil, err
	}
	ns, err := h.Open(ctx, r)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	c, err := climbFrom(ns, 0)
	if err != nil {
		return nil, err
	}
	if c.users[nsfs.InitUserIno] == nil {
		if err := c.readOverflow(p); err != nil {
			return nil, err
		}
	}
	pids, err := p.PIDs(nil)
	if err != nil {
		return nil, err
	}
	s := &survey{proc: p, climb: c, want: want}
	if err := s.unshown(); err != nil {
		return nil, err
	}
	if err := s.all(ctx, pids); err != nil {
		return nil, err
	}
	out := &Actors{Target: c.target, Actors: s.found, Missing: s.miss.lines()}
	out.Complete = len(out.Missing) == 0
	return out, nil
}

// survey asks many tasks about one namespace.
type survey struct {
	proc  *nsfs.Proc
	climb *climb
	want  topology.CapSet
	miss  missing
	mu    sync.Mutex
	found []*Actor
}

// unshown notes which tasks the procfs keeps from the caller.
func (s *survey) unshown() error {
	s.miss.hiding(s.proc)
	self, err := s.proc.Self()
	if err != nil {
		return err
	}
	defer self.Close()
	ref, err := self.Ref(nsfs.InPID)
	if errors.Is(err, nsfs.ErrGone) {
		return nil // a kernel without pid namespaces: all are in one
	}
	if err == nil {
		s.miss.outside(ref)
	}
	return err
}

// all asks every process, on all cores.
func (s *survey) all(ctx context.Context, pids []int) error {
	const chunk = 16
	var next atomic.Int64
	var wg sync.WaitGroup
	for range max(1, min(runtime.GOMAXPROCS(0), len(pids)/chunk)) {
		wg.Go(func() {
			var j judge
			for ctx.Err() == nil {
				end := int(next.Add(chunk))
				if end-chunk >= len(pids) {
					return
				}
				for _, pid := range pids[end-chunk : min(end, len(pids))] {
					s.process(&j, pid)
				}
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return fmt.Errorf("ask all tasks: %w", context.Cause(ctx))
	}
	slices.SortFunc(s.found, func(a, b *Actor) int { return cmp.Or(a.PID-b.PID, a.TID-b.TID) })
	return nil
}

// process asks a process and its threads. One that is gone was none.
func (s *survey) process(j *judge, pid int) {
	t, err := s.proc.Task(pid)
	if err != nil {
		return
	}
	defer t.Close()
	leader := s.task(j, t)
	if leader == nil {
		return
	}
	s.add(t, leader)
	if leader.Threads <= 1 {
		return
	}
	tids, err := t.Threads(nil)
	if err != nil {
		return
	}
	for _, tid := range tids {
		if tid == pid {
			continue
		}
		th, err := t.Thread(tid)
		if err != nil {
			continue
		}
		// All threads are in one user namespace (userns_install), and in one
		// pid namespace; their credentials are their own.
		if a := s.task(j, th); a != nil && (a.Held != leader.Held || leader.Zombie()) {
			s.add(th, a)
		}
		th.Close()
	}
}

// task asks one task, nil where it can hold nothing or is gone.
func (s *survey) task(j *judge, t nsfs.Task) *Actor {
	for range tries {
		user, err := t.Ref(nsfs.InUser)
		switch {
		case errors.Is(err, nsfs.ErrDenied):
			s.denied(j, t)
			return nil
		case err != nil || s.climb.users[user.Ino] == nil:
			return nil // gone, or neither above the target nor in it
		}
		if j.read(t) != nil {
			return nil
		}
		a, err := j.actor(t, s.climb, user)
		if err != nil {
			return nil
		}
		if again, err := t.Ref(nsfs.InUser); err == nil && again == user {
			return a
		}
	}
	return nil
}

func (s *survey) denied(j *judge, t nsfs.Task) {
	name := "pid " + strconv.Itoa(t.PID())
	if j.read(t) == nil {
		name += " (" + j.creds.Name + ")"
	}
	s.miss.add(name, "user namespace: permission denied")
}

// add adds a task that holds what is wanted.
func (s *survey) add(t nsfs.Task, a *Actor) {
	if a.Held&s.want == 0 || a.Zombie() {
		return
	}
	var err error
	if a.Start, err = t.StartTime(); err != nil {
		return // gone
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found = append(s.found, a)
}
