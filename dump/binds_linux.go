package dump

import (
	"errors"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// unopened is a bind mount of a namespace that its path does not lead to, as
// something else is mounted over it.
type unopened struct {
	nsfs.Bind
	mnt *node
}

// binds reads the bind mounts of namespaces in mount namespace n, through the
// first of its tasks to come along that sees all of them. In a dump of a tree the
// caller's own mount namespace waits until the end: what is mounted there pins
// namespaces of the tree, and is no reason to take others into it.
func (r *reader) binds(t nsfs.Task, n *node) {
	if n == nil || r.d.opts.NoBinds || r.d.root != 0 && n.external || !r.d.reg.claimBinds(n) || n.mounts.BindsNone() {
		return
	}
	n.partly = member{t.PID(), t.TID()}
	if r.allBinds(t, n) != nil { // another task may show them, or an agent
		r.d.reg.releaseBinds(n)
	}
}

var errPartly = errors.New("some are not shown, which others cover")

// allBinds is someBinds through a task that sees all mounts, as far as one can
// tell: its root directory is that of the mount namespace, and it is shown as many
// as there are. Where they change meanwhile, they are counted and read again.
func (r *reader) allBinds(t nsfs.Task, n *node) error {
	if at, err := t.AtRoot(); err != nil || !at {
		return errors.Join(errPartly, err)
	}
	pins, unopened := len(r.pins), len(r.unopened)
	count := n.mounts.Mounts
	for range tries {
		shown, err := r.someBinds(t, n)
		if err == nil && shown+1 >= count { // the one below all others is shown to none
			return nil
		}
		r.pins, r.unopened = r.pins[:pins], r.unopened[:unopened]
		if err != nil {
			return err
		}
		again, err := countMounts(t)
		if err != nil {
			return err
		}
		if again == count {
			break
		}
		count = again
	}
	return errPartly
}

// countMounts asks how many mounts there are where a task is.
func countMounts(t nsfs.Task) (int, error) {
	ns, err := t.Open(nsfs.InMnt)
	if err != nil {
		return 0, err
	}
	defer ns.Close()
	m, err := ns.Mounts()
	return m.Mounts, err
}

// someBinds reads the bind mounts that a task sees, and returns how many mounts
// of any kind it does.
func (r *reader) someBinds(t nsfs.Task, n *node) (int, error) {
	r.mark = r.d.reg.clock.Load()
	return t.Binds(func(b nsfs.Bind) { r.bind(t, n, b) })
}

func (r *reader) bind(t nsfs.Task, mnt *node, b nsfs.Bind) {
	if r.d.inherited[b.Ref] && !r.d.opts.CopiedBinds {
		return
	}
	if n := r.d.reg.lookup(b.Ref); n != nil && r.sameByNumber(n) {
		r.pins = append(r.pins, bindPin(n, mnt, b.Path))
		return
	}
	ns, err := t.OpenBind(b.Path)
	if err != nil {
		r.unopened = append(r.unopened, unopened{b, mnt})
		return
	}
	defer ns.Close()
	w := way{kind: byBind, task: member{t.PID(), t.TID()}, path: b.Path}
	if r.agent {
		w.task, w.from = member{}, mnt
	}
	n := r.d.byNS(ns, 0, w)
	if n == nil || n.ref != b.Ref {
		r.unopened = append(r.unopened, unopened{b, mnt})
		return
	}
	p := bindPin(n, mnt, b.Path)
	p.sure = true
	r.pins = append(r.pins, p)
}

func bindPin(n, mnt *node, path string) pin {
	return pin{node: n, mnt: mnt, Pin: topology.Pin{Kind: topology.PinBind, Path: path}}
}

// readInherited notes what is bind-mounted in the caller's own mount namespace. A
// new mount namespace begins as a copy of another (copy_mnt_ns, fs/namespace.c), so
// those in a tree have these mounts as well: they are no reason to take a namespace
// into it.
func (d *dumper) readInherited() error {
	if d.inherited != nil || d.opts.NoBinds {
		return nil
	}
	d.inherited = map[nsfs.Ref]bool{}
	_, err := d.self.Binds(func(b nsfs.Bind) { d.inherited[b.Ref] = true })
	return err
}

// ownBinds adds to the namespaces of a tree the bind mounts in the caller's own
// mount namespace that pin them.
func (d *dumper) ownBinds() error {
	mnt := d.own[nsfs.InMnt]
	if d.root == 0 || mnt == nil || d.opts.NoBinds {
		return nil
	}
	_, err := d.self.Binds(func(b nsfs.Bind) {
		if n := d.reg.lookup(b.Ref); n != nil && !n.external {
			d.pins = append(d.pins, bindPin(n, mnt, b.Path))
		}
	})
	return err
}
