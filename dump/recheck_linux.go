package dump

import (
	"slices"
	"strconv"

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
		d.findStale()
		again := d.dropStale()
		if len(again) == 0 {
			return nil
		}
		if err := d.readTasks(again); err != nil {
			return err
		}
	}
	d.findStale()
	for _, pid := range d.dropStale() {
		d.miss.add("pid "+strconv.Itoa(pid), "its namespaces changed each time it was read")
	}
	return nil
}

// findStale finds the namespaces that several were said to lead to, and nobody
// leads to now.
func (d *dumper) findStale() {
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
}

// dropStale drops what was read of the tasks that lead to a namespace which is
// gone, or to one that was below such a one, and returns their numbers.
func (d *dumper) dropStale() []int {
	bad := map[int]bool{}
	for _, t := range d.tasks {
		if slices.ContainsFunc(t.nodes[:], gone) {
			bad[t.pid] = true
		}
	}
	for _, p := range d.pins {
		if p.PID != 0 && gone(p.node) {
			bad[p.PID] = true
		}
	}
	d.tasks = slices.DeleteFunc(d.tasks, func(t *task) bool { return bad[t.pid] })
	d.pins = slices.DeleteFunc(d.pins, func(p pin) bool {
		return p.PID != 0 && bad[p.PID] || gone(p.node) || gone(p.mnt)
	})
	d.listedNodes = slices.DeleteFunc(d.listedNodes, gone)
	pids := make([]int, 0, len(bad))
	for pid := range bad {
		pids = append(pids, pid)
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
