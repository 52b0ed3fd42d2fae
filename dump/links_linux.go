package dump

import (
	"errors"

	"github.com/renest/renest/nsfs"
)

// links follows the links of a task, and reports whether it is still there, and
// where it was.
func (r *reader) links(t nsfs.Task, rec *task) bool {
	defer r.held.release()
	if r.openLinks(t, rec) {
		return true
	}
	r.mark = r.d.reg.clock.Load()
	t.Refs(&r.refs)
	for i := range r.refs {
		l, err := nsfs.Link(i), r.refs[i].Err
		switch {
		case err == nil:
			if rec.nodes[l], rec.opened[l] = r.node(t, l, r.refs[i].Ref); rec.nodes[l] == nil {
				return false
			}
		case errors.Is(err, nsfs.ErrDenied):
			if r.ending(t, rec) {
				return false
			}
			r.d.miss.add(taskName(rec), "namespaces: permission denied")
			rec.hidden = true
			return true
		case !errors.Is(err, nsfs.ErrGone):
			r.d.fault(taskName(rec), l.String(), err)
		case l == r.d.first:
			return false // every task has one, to its very end
		case l == nsfs.PIDForChildren && !rec.zombie && r.d.own[nsfs.InPID] != nil && rec.nodes[nsfs.InMnt] != nil:
			rec.nodes[l], rec.opened[l] = r.unbornOf(t, rec), true
		}
	}
	return true
}

// openLinks has the task's pidfd open each namespace. It is known by its id then, and
// there is nothing to make sure of later. It reports whether that did: the links
// alone lead to what a zombie has left, and say who may not look.
func (r *reader) openLinks(t nsfs.Task, rec *task) bool {
	if !r.d.pidfds || !r.pidfd.OK() || rec.zombie {
		return false
	}
	var nodes [nsfs.NumLinks]*node
	var opened [nsfs.NumLinks]bool
	for l := range nsfs.Link(nsfs.NumLinks) {
		if r.d.own[linkOf(l.Type())] == nil {
			continue // the kernel has no such type
		}
		ns, err := r.pidfd.Open(l)
		if err != nil {
			return false
		}
		nodes[l], opened[l] = r.openedNode(t, l, ns), true
		r.held.close(ns, l.Type())
		if nodes[l] == nil {
			return false
		}
	}
	if n := nodes[nsfs.PIDForChildren]; n != nodes[nsfs.InPID] {
		// Up to Linux 7.0 the link does not lead to one without init.
		if _, err := t.Ref(nsfs.PIDForChildren); errors.Is(err, nsfs.ErrGone) {
			r.unborn = append(r.unborn, n)
		}
	}
	rec.nodes, rec.opened = nodes, opened
	return true
}

// openedNode finds the node of a namespace that a task's pidfd opened. Most tasks
// share their namespaces with the one before.
func (r *reader) openedNode(t nsfs.Task, l nsfs.Link, ns *nsfs.NS) *node {
	last := &r.last[l]
	id, err := ns.ID()
	if err != nil {
		return nil
	}
	if n := last.node; n != nil && n.id == id && !n.stale.Load() {
		return n
	}
	ino, err := ns.Ino()
	if err != nil {
		return nil
	}
	h := nsfs.Handle{ID: id, Type: l.Type(), Ino: uint32(ino)}
	w := way{kind: byLink, task: member{t.PID(), t.TID()}, link: l}
	if l == nsfs.PIDForChildren {
		w.kind = byPIDFD // its link may not lead there
	}
	n := r.d.byHandle(ns, h, w)
	last.ref, last.node = h.Ref(), n
	return n
}

// ending reports whether a task that was not a zombie has ended since, or is about
// to: without memory of its own it is shielded from most.
func (r *reader) ending(t nsfs.Task, rec *task) bool {
	err := t.Status(&r.status)
	return err != nil || r.status.Zombie() && !rec.zombie
}

// node finds the node of a link, nil where the task has gone, or gone elsewhere, and
// whether that was opened through the link. Most tasks share their namespaces with
// the one before.
func (r *reader) node(t nsfs.Task, l nsfs.Link, ref nsfs.Ref) (n *node, opened bool) {
	last := &r.last[l]
	if last.ref == ref && last.node != nil && (!r.d.sure || last.node.held) {
		return last.node, false
	}
	n, opened = r.d.byLink(t, l, ref, &r.held)
	switch {
	case n == nil:
		return nil, false
	case opened, r.sameByNumber(n):
	case r.d.sure && !r.d.leadsTo(t, l, n):
		ns, err := t.Open(l)
		if err != nil {
			return nil, false
		}
		defer ns.Close()
		return r.d.byNS(ns, l.Type(), way{kind: byLink, task: member{t.PID(), t.TID()}, link: l}), true
	case !r.d.sure:
		// It was described after the link was read: if the link is as before, it
		// leads there, or recheck will find that the namespace is gone.
		if again, err := t.Ref(l); err != nil || again != ref {
			return nil, false
		}
	}
	last.ref, last.node = ref, n
	return n, opened
}

// sameByNumber reports whether what is at hand leads to n if only its number does
// and n is found to be still there when recheck looks at it: then it was there all
// the time since it was described, and had the number all that time.
func (r *reader) sameByNumber(n *node) bool {
	return n.held || !r.d.sure && n.since <= r.mark
}

// unbornOf opens the pid namespace that a task's children will be in, where it
// has no init yet: up to Linux 7.0 the link does not lead there, a pidfd does.
func (r *reader) unbornOf(t nsfs.Task, rec *task) *node {
	ns, err := t.OpenByPIDFD(nsfs.PIDForChildren)
	switch {
	case errors.Is(err, nsfs.ErrNotSupported):
		r.d.miss.add(taskName(rec), "pid_for_children: a pid namespace without init, which this kernel does not open (Linux 6.11 does)")
		return nil
	case errors.Is(err, nsfs.ErrDenied):
		r.d.miss.add(taskName(rec), "pid_for_children: permission denied")
		return nil
	case err != nil:
		return nil // the task is gone
	}
	defer ns.Close()
	n := r.d.byNS(ns, nsfs.PID, way{kind: byPIDFD, task: member{t.PID(), t.TID()}, link: nsfs.PIDForChildren})
	if n != nil {
		r.unborn = append(r.unborn, n)
	}
	return n
}
