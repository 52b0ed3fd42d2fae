package forecast

import (
	"github.com/renest/renest/topology"
)

// Restored returns the graph of a tree after CRIU has dumped and restored it, if it
// can: what g holds, less what findings of verdict Loses say. The namespaces are
// numbered as in g. What no task is in and nothing in use is owned by is not there.
//
// To verify a restore, compare what is there with it, leaving out time namespaces,
// of which CRIU makes one on every restore.
func Restored(g *topology.Graph) (*topology.Graph, error) {
	s, err := newSubject(g)
	if err != nil {
		return nil, err
	}
	r := &restorer{subject: s, copies: map[*topology.Namespace]*topology.Namespace{}}
	out := &topology.Graph{Header: g.Header}
	for _, t := range g.Tasks {
		if t := r.task(t); t != nil {
			out.Tasks = append(out.Tasks, t)
		}
	}
	for _, n := range g.Namespaces {
		if c := r.copies[n]; c != nil {
			out.Namespaces = append(out.Namespaces, c)
		}
	}
	for _, n := range r.unseen {
		out.Namespaces = append(out.Namespaces, r.copies[n])
	}
	return out, nil
}

type restorer struct {
	*subject
	copies map[*topology.Namespace]*topology.Namespace
	unseen []*topology.Namespace // of CRIU's own, those that the graph does not have
}

// criu returns CRIU's own namespace of a type, also where no task of the tree is in it.
func (r *restorer) criu(t topology.Type) *topology.Namespace {
	if r.own[t] == nil {
		r.own[t] = &topology.Namespace{Type: t, External: true, Owner: r.own[topology.User]}
		r.unseen = append(r.unseen, r.own[t])
	}
	return r.own[t]
}

// task returns what becomes of a task, nil of one that is gone, or is like its
// process's first.
func (r *restorer) task(t *topology.Task) *topology.Task {
	if t.TID != t.PID {
		return nil
	}
	c := *t
	c.NSPID = r.numbers(t)
	lost := r.cgroupLost()
	for l := range c.Namespaces {
		link := topology.Link(l)
		n := t.Namespaces[l]
		switch {
		case n == nil:
			continue
		case link == topology.InCgroup && lost:
			n = r.criu(topology.Cgroup)
		case link == topology.PIDForChildren:
			n = t.Namespaces[topology.InPID]
		case link != topology.InNet && link != topology.InMnt, n == r.own[n.Type]:
			n = r.root.Namespaces[l]
		}
		c.Namespaces[l] = r.copy(n)
	}
	return &c
}

// numbers are a task's, without those of the pid namespaces between CRIU's own and
// the root task's.
func (r *restorer) numbers(t *topology.Task) []int {
	outer, all := r.level(r.own[topology.PID]), len(r.root.NSPID)
	if !r.left(topology.PID) || all-1 <= outer || len(t.NSPID) < all {
		return t.NSPID
	}
	return append(append([]int{}, t.NSPID[:outer]...), t.NSPID[all-1:]...)
}

// level is how many numbers a task in the observer's pid namespace has.
func (r *restorer) level(n *topology.Namespace) int {
	for _, t := range r.g.Tasks {
		if t.Namespaces[topology.InPID] == n && n != nil {
			return len(t.NSPID)
		}
	}
	return 1 // /proc begins with the number in its own
}

// copy returns what becomes of a namespace.
func (r *restorer) copy(n *topology.Namespace) *topology.Namespace {
	if n == nil {
		return nil
	}
	if c := r.copies[n]; c != nil {
		return c
	}
	c := *n
	r.copies[n] = &c
	c.Pins = nil
	if n.External {
		c.Owner, c.Parent = r.copy(n.Owner), r.copy(n.Parent)
		return &c
	}
	user := r.root.Namespaces[topology.InUser]
	switch n.Type {
	case topology.User:
		outer := r.own[topology.User]
		c.User = flat(n, outer)
		c.Owner = r.copy(outer)
		c.Parent = c.Owner
	case topology.PID:
		c.Owner, c.Parent = r.copy(user), r.copy(r.own[topology.PID])
	default:
		c.Owner = r.copy(user)
	}
	return &c
}

// flat returns the state of a user namespace that was made again by CRIU right
// below outer: CRIU saves the maps as it sees them, makes the namespace as root, and
// does not know setgroups.
func flat(n, outer *topology.Namespace) *topology.UserState {
	if n.User == nil {
		return nil
	}
	u := topology.UserState{UIDMap: n.User.UIDMap, GIDMap: n.User.GIDMap, Setgroups: "allow"}
	for p := n.Parent; p != nil && p != outer && p.User != nil; p = p.Parent {
		u.UIDMap = topology.Compose(u.UIDMap, p.User.UIDMap)
		u.GIDMap = topology.Compose(u.GIDMap, p.User.GIDMap)
	}
	return &u
}
