package dump

import (
	"errors"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// binds reads the bind mounts of namespaces in mount namespace n, through the
// first of its tasks to come along. In a dump of a tree the caller's own mount
// namespace waits until the end: what is mounted there pins namespaces of the
// tree, and is no reason to take others into it.
func (r *reader) binds(t nsfs.Task, n *node) {
	if r.d.root != 0 && n.external || !r.d.reg.claimBinds(n) {
		return
	}
	err := t.Binds(func(b nsfs.Bind) { r.bind(t, n, b) })
	switch {
	case errors.Is(err, nsfs.ErrDenied):
		r.d.miss.add(n.ref.String(), "bind mounts: permission denied")
	case err != nil:
		r.d.reg.releaseBinds(n) // the next task may do it
	}
}

func (r *reader) bind(t nsfs.Task, mnt *node, b nsfs.Bind) {
	n, mine := r.d.reg.get(b.Ref)
	if mine {
		ns, err := t.OpenBind(b.Path)
		if err != nil {
			r.d.reg.done(n, false)
			r.d.miss.add(b.Ref.String(), "bind mount "+b.Path+" in "+mnt.ref.String()+" cannot be opened")
			return
		}
		got := r.d.described(n, ns, way{kind: byBind, task: member{t.PID(), t.TID()}, path: b.Path})
		_ = ns.Close()
		if got != n {
			r.d.miss.add(b.Ref.String(), "bind mount "+b.Path+" in "+mnt.ref.String()+" is hidden by another mount")
			return
		}
	}
	r.pins = append(r.pins, pin{node: n, mnt: mnt, Pin: topology.Pin{Kind: topology.PinBind, Path: b.Path}})
}

// ownBinds adds to the namespaces of a tree the bind mounts in the caller's own
// mount namespace that pin them.
func (d *dumper) ownBinds() error {
	if d.root == 0 {
		return nil
	}
	mnt := d.own[nsfs.InMnt]
	return d.self.Binds(func(b nsfs.Bind) {
		if n := d.reg.lookup(b.Ref); n != nil && n.known.Load() && !n.external {
			d.pins = append(d.pins, pin{node: n, mnt: mnt, Pin: topology.Pin{Kind: topology.PinBind, Path: b.Path}})
		}
	})
}
