package dump

import (
	"slices"

	"github.com/renest/renest/nsfs"
)

// recheck makes sure that those who were found to share a namespace do. A link
// gives an inode number, and the kernel gives the number of a namespace that ends
// to the next that is made: of two tasks that were read one after the other, the
// one may have been in the old and the other in the new. So each namespace that
// anything led to by its number, and not by being opened, is looked at once more;
// where it is gone, what led to it is dropped, to be read again. It returns the
// tasks among that which have not ended, and whether there were namespaces of which
// it is not known that they are gone.
func (d *dumper) recheck() (again []int, unsure bool) {
	d.countRefs()
	var moved []int
	if d.ids {
		for _, t := range d.tasks {
			d.confirm(t)
		}
	} else {
		moved, unsure = d.confirmHeld()
	}
	for _, n := range d.reg.all((*node).doubted) {
		if ns, err := d.reopen(n); err == nil { // a descriptor holds it, say
			_ = ns.Close()
			n.checked = true
			continue
		}
		d.reg.forget(n)
		unsure = true
	}
	again, reread := d.dropStale(moved)
	return again, unsure || reread
}

// dropStale drops what was read of processes that have moved, and of the tasks and
// mount namespaces that lead to a namespace which is gone, or to one that was below
// such a one. It returns the processes that have not ended, and whether there is a
// mount namespace to be read again.
func (d *dumper) dropStale(moved []int) (again []int, mounts bool) {
	bad, reread := map[int]bool{}, map[*node]bool{}
	for _, pid := range moved {
		bad[pid] = true
	}
	for _, t := range d.tasks {
		if slices.ContainsFunc(t.nodes[:], gone) {
			bad[t.pid] = true
		}
	}
	for _, p := range d.pins {
		switch {
		case !gone(p.node):
		case p.PID != 0:
			bad[p.PID] = true
		case p.mnt != nil:
			reread[p.mnt] = true
		}
	}
	d.tasks = slices.DeleteFunc(d.tasks, func(t *task) bool { return bad[t.pid] })
	d.unknownSockets = slices.DeleteFunc(d.unknownSockets, func(s unknownSocket) bool { return bad[s.PID] })
	d.pins = slices.DeleteFunc(d.pins, func(p pin) bool {
		return p.PID != 0 && bad[p.PID] || gone(p.node) || gone(p.mnt)
	})
	d.unopened = slices.DeleteFunc(d.unopened, func(u unopened) bool { return gone(u.mnt) })
	d.forgetBinds(reread)
	d.listedNodes = slices.DeleteFunc(d.listedNodes, gone)
	d.reg.purge() // what nothing leads to any more, too
	for pid := range bad {
		delete(d.read, pid)
		if d.inNamespaces(pid) {
			again = append(again, pid)
		}
	}
	slices.Sort(again)
	return again, len(reread) > 0
}

// inNamespaces reports whether a task has any but those that it keeps to its very
// end.
func (d *dumper) inNamespaces(pid int) bool {
	t, err := d.proc.Task(pid)
	if err != nil {
		return false
	}
	defer t.Close()
	_, err = t.Ref(nsfs.InMnt)
	return err == nil
}

// gone reports whether n, or what it was owned by or below, is stale: it cannot
// have outlived that.
func gone(n *node) bool {
	for ; n != nil; n = n.owner {
		if n.stale.Load() {
			return true
		}
		if n.ref.Type == nsfs.PID && gone(n.parent) {
			return true
		}
	}
	return false
}

// countRefs counts who leads to each namespace by no more than its number.
func (d *dumper) countRefs() {
	d.reg.each(func(n *node) { n.refs = 0 })
	for _, t := range d.tasks {
		if t.sure && d.ids {
			continue
		}
		for l, n := range t.nodes {
			if n != nil && !t.opened[l] && (l < int(nsfs.PIDForChildren) || n != t.nodes[linkOf(n.ref.Type)]) {
				n.refs++
			}
		}
	}
	for _, p := range d.pins {
		if !p.sure {
			p.node.refs++
		}
	}
}

// confirm looks at those of a task's namespaces that nobody has confirmed yet.
func (d *dumper) confirm(t *task) {
	var open bool
	var dir nsfs.Task
	for i, n := range t.nodes {
		if !n.doubted() {
			continue
		}
		if !open {
			var err error
			if dir, err = d.task(member{t.pid, t.tid}); err != nil {
				return
			}
			defer dir.Close()
			open = true
		}
		n.checked = d.leadsTo(dir, nsfs.Link(i), n)
	}
}

// leadsTo reports whether a task's link leads to n, see same.
func (d *dumper) leadsTo(t nsfs.Task, l nsfs.Link, n *node) bool {
	if d.ids {
		h, err := t.Handle(l)
		return err == nil && h.ID == n.id
	}
	ns, err := t.Open(l)
	if err != nil {
		return false
	}
	defer ns.Close()
	ino, err := ns.Ino()
	return err == nil && ino == n.ref.Ino && d.same(n, ns, 0)
}
