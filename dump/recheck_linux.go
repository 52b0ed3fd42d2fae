package dump

import (
	"slices"

	"github.com/renest/renest/nsfs"
)

// recheckMax bounds how often tasks are read again on a host that does not hold
// still.
const recheckMax = 3

// recheck makes sure that those who were found to share a namespace do. A link
// gives an inode number, and the kernel gives the number of a namespace that ends
// to the next that is made: of two tasks that were read one after the other, the
// one may have been in the old and the other in the new. So each namespace that
// several lead to is looked at once more; where none of its tasks is in it now,
// all of them are read again.
func (d *dumper) recheck() error {
	for range recheckMax {
		again := d.doubtful()
		if len(again) == 0 {
			return nil
		}
		if err := d.readTasks(again); err != nil {
			return err
		}
	}
	return nil
}

// doubtful drops what was read of the tasks that lead to a namespace which cannot
// be found again, and returns their numbers.
func (d *dumper) doubtful() []int {
	d.countRefs()
	for _, t := range d.tasks {
		d.confirm(t)
	}
	gone := map[*node]bool{}
	bad := map[int]bool{}
	doubt := func(n *node, pid int) {
		if n == nil || n.refs < 2 || n.checked || !n.known.Load() {
			return
		}
		if !gone[n] {
			if ns, err := d.reopen(n); err == nil { // a descriptor holds it, say
				_ = ns.Close()
				n.checked = true
				return
			}
			gone[n] = true
			d.reg.forget(n)
		}
		bad[pid] = true
	}
	for _, t := range d.tasks {
		for _, n := range t.nodes {
			doubt(n, t.pid)
		}
	}
	for _, p := range d.pins {
		doubt(p.node, p.PID)
	}
	d.tasks = slices.DeleteFunc(d.tasks, func(t *task) bool { return bad[t.pid] })
	d.pins = slices.DeleteFunc(d.pins, func(p pin) bool { return gone[p.node] || p.PID != 0 && bad[p.PID] })
	delete(bad, 0) // a mount's
	pids := make([]int, 0, len(bad))
	for pid := range bad {
		pids = append(pids, pid)
	}
	slices.Sort(pids)
	return pids
}

// countRefs counts who leads to each namespace. What one task alone leads to was
// opened through it, and is what it was said to be.
func (d *dumper) countRefs() {
	for _, n := range d.reg.all() {
		n.refs = 0
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
