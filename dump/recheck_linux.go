package dump

import (
	"slices"

	"github.com/renest/renest/nsfs"
)

// recheck makes sure that those who were found to share a namespace do. A link
// gives an inode number, and the kernel gives the number of a namespace that ends
// to the next that is made: of two tasks that were read one after the other, the
// one may have been in the old and the other in the new. So each namespace that
// several lead to is looked at once more; where none of its tasks is in it now,
// what led to it is dropped, to be read again, and the tasks among that which are
// still there are returned.
func (d *dumper) recheck() (again []int) {
	d.countRefs()
	for _, t := range d.tasks {
		d.confirm(t)
	}
	for _, n := range d.reg.all() {
		if n.refs < 2 || n.checked {
			continue
		}
		if ns, err := d.reopen(n); err == nil { // a descriptor holds it, say
			_ = ns.Close()
			n.checked = true
			continue
		}
		d.reg.forget(n)
	}
	return d.dropStale()
}

// dropStale drops what was read of the tasks and mount namespaces that lead to a
// namespace which is gone, or to one that was below such a one.
func (d *dumper) dropStale() []int {
	bad, reread := map[int]bool{}, map[*node]bool{}
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
	d.forgetBinds(reread)
	d.listedNodes = slices.DeleteFunc(d.listedNodes, gone)
	pids := make([]int, 0, len(bad))
	for pid := range bad {
		delete(d.read, pid)
		if t, err := d.proc.Task(pid); err == nil {
			t.Close()
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// gone reports whether n, or what it was owned by or below, is stale: it cannot
// have outlived that.
func gone(n *node) bool {
	for ; n != nil; n = n.owner {
		if n.stale {
			return true
		}
		if n.ref.Type == nsfs.PID && gone(n.parent) {
			return true
		}
	}
	return false
}

// countRefs counts who leads to each namespace. What one task alone leads to was
// opened through it, and is what it was said to be. Edges count where the kernel
// has no ids, by which they are held against each other when they are read.
func (d *dumper) countRefs() {
	all := d.reg.all()
	for _, n := range all {
		n.refs = 0
	}
	for _, n := range all {
		if d.ids {
			break
		}
		for _, up := range []*node{n.owner, n.parent} {
			if up != nil {
				up.refs++
			}
		}
	}
	for _, t := range d.tasks {
		for l, n := range t.nodes {
			if n != nil && (l < int(nsfs.PIDForChildren) || n != t.nodes[linkOf(n.ref.Type)]) {
				n.refs++
			}
		}
	}
	for _, p := range d.pins {
		p.node.refs++
	}
}

// confirm looks at those of a task's namespaces that nobody has confirmed yet.
func (d *dumper) confirm(t *task) {
	var open bool
	var dir nsfs.Task
	for i, n := range t.nodes {
		if n == nil || n.refs < 2 || n.checked || !n.known.Load() {
			continue
		}
		if n.id == 0 && n.way != (way{kind: byLink, task: member{t.pid, t.tid}, link: nsfs.Link(i)}) {
			continue // only who led to it first can tell whether it is still that one
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

// leadsTo reports whether a task's link leads to n: the very one, where the kernel
// has ids.
func (d *dumper) leadsTo(t nsfs.Task, l nsfs.Link, n *node) bool {
	if n.id == 0 {
		ref, err := t.Ref(l)
		return err == nil && ref == n.ref
	}
	h, err := t.Handle(l)
	return err == nil && h.ID == n.id
}
