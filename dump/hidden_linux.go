package dump

import (
	"slices"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// findHidden marks the namespaces that are alive and inactive: nobody lists them,
// they cannot be opened by their handle, and only an edge or a socket leads to
// them. Active are those with a task, a descriptor or a mount, and the owners of
// active ones (ns_ref_active_get, kernel/nscommon.c); the parent of an active pid
// namespace is not, nor is the net namespace of a socket. What listns(2) listed
// before the dump looked at anything was active, for a reason that need not be in
// sight.
//
// A pid namespace that is found this way has no init, and is said to be dead.
func (d *dumper) findHidden() {
	active := map[*node]bool{}
	mark := func(n *node) {
		for ; n != nil && !active[n]; n = n.owner {
			active[n] = true
		}
	}
	for _, t := range d.tasks {
		for _, n := range t.nodes {
			mark(n)
		}
	}
	for _, p := range d.pins {
		if !p.passive {
			mark(p.node)
		}
	}
	for _, n := range d.listedNodes {
		mark(n)
	}
	for _, n := range d.nodes {
		if _, listed := slices.BinarySearch(d.active, n.id); listed && n.id != 0 {
			mark(n)
		}
	}
	for _, n := range d.nodes {
		if !active[n] && !n.external && n.ref.Type != nsfs.PID {
			n.out.State = topology.Hidden
		}
	}
}
