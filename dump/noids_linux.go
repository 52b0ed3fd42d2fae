package dump

import (
	"slices"

	"github.com/renest/renest/nsfs"
)

// confirmHeld confirms namespaces where the kernel has no ids (before Linux 6.18):
// each is held open meanwhile, so that its number is nobody else's, and every task
// that seemed to be in it is asked again. The place of one that has ended is
// forgotten: another namespace may have had the number then. It returns the
// processes that have gone elsewhere, and whether there were namespaces of which it
// is not known that they are gone.
func (d *dumper) confirmHeld() (moved []int, unsure bool) {
	groups := map[[nsfs.NumLinks]*node][]*task{}
	for _, t := range d.tasks {
		if slices.ContainsFunc(t.nodes[:], (*node).doubted) {
			groups[t.nodes] = append(groups[t.nodes], t)
		}
	}
	for nodes, tasks := range groups {
		var held [nsfs.NumLinks]*nsfs.NS
		for l, n := range nodes {
			if n.doubted() && !n.stale.Load() {
				var err error
				if held[l], err = d.reopen(n); err != nil {
					d.reg.forget(n)
					unsure = true
				}
			}
		}
		for _, t := range tasks {
			if d.misplaced(t, held) {
				moved = append(moved, t.pid)
			}
		}
		for _, ns := range held {
			if ns != nil {
				_ = ns.Close()
			}
		}
	}
	left := d.ledTo()
	for nodes := range groups {
		for _, n := range nodes {
			if n.doubted() && !n.stale.Load() {
				n.checked = true
				unsure = unsure || !left[n] // they ended, and may have handed it on
			}
		}
	}
	return moved, unsure
}

// ledTo returns the namespaces that some task or pin leads to.
func (d *dumper) ledTo() map[*node]bool {
	led := map[*node]bool{}
	for _, t := range d.tasks {
		for _, n := range t.nodes {
			led[n] = true
		}
	}
	for _, p := range d.pins {
		led[p.node] = true
	}
	return led
}

// doubted reports whether some lead to n by its number only, and nobody knows yet
// whether it was n's at the time.
func (n *node) doubted() bool { return n != nil && n.refs > 0 && !n.checked }

// misplaced asks a task whether it is in these namespaces still, and forgets where
// it was if it has ended. It reports whether the task has gone elsewhere.
func (d *dumper) misplaced(t *task, in [nsfs.NumLinks]*nsfs.NS) bool {
	var refs nsfs.Refs
	dir, err := d.task(member{t.pid, t.tid})
	if err == nil {
		defer dir.Close()
		dir.Refs(&refs)
	}
	for l, ns := range in {
		switch {
		case ns == nil || err == nil && refs[l].Err == nil && refs[l].Ref == t.nodes[l].ref:
			continue
		case nsfs.Link(l) == nsfs.PIDForChildren && t.opened[l] && refs[nsfs.InMnt].Err == nil:
			continue // unborn: the link does not show it
		case err == nil && refs[l].Err == nil:
			return true
		}
		n := t.nodes[l]
		t.nodes[l] = nil
		d.pins = slices.DeleteFunc(d.pins, func(p pin) bool { return p.PID == t.pid && p.node == n && !p.sure })
	}
	return false
}
