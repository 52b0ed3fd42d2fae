package dump

import (
	"errors"
	"fmt"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// settle decides which namespaces the dump holds, once all sources were asked:
// those that a task, a descriptor, a mount or a list leads to, with all their
// owners and parents. It notes the edges that lead out of sight.
func (d *dumper) settle() error {
	if err := d.ownBinds(); err != nil {
		return fmt.Errorf("dump: %w", err)
	}
	d.settleUnopened()
	d.settleSockets()
	for _, t := range d.tasks {
		for l, n := range t.nodes {
			if n == nil {
				continue
			}
			d.keep(n)
			d.remember(t, nsfs.Link(l), n)
		}
	}
	for _, p := range d.pins {
		d.keep(p.node)
		if p.mnt != nil {
			d.keep(p.mnt)
		}
	}
	for _, n := range d.listedNodes {
		d.keep(n)
	}
	for _, n := range d.nodes {
		if n.external {
			continue
		}
		if n.owner == nil {
			d.missEdge(n, "owner", n.ownerErr, "user")
		}
		if n.parent == nil && n.ref.Type == nsfs.PID {
			d.missEdge(n, "parent", n.parentErr, "pid")
		}
	}
	return nil
}

// missEdge notes that an edge leads to where the caller does not see.
func (d *dumper) missEdge(n *node, edge string, err error, of string) {
	switch {
	case errors.Is(err, nsfs.ErrDenied):
		d.miss.add(n.ref.String(), edge+": permission denied")
	case err == nil, errors.Is(err, nsfs.ErrOutOfSight):
		d.miss.add(n.ref.String(), edge+": outside the caller's own "+of+" namespace")
	default:
		d.miss.add(n.ref.String(), edge+": "+reason(err))
	}
}

// keep takes n and what is above it into the dump.
func (d *dumper) keep(n *node) {
	for n != nil && !n.keep {
		n.keep, n.out = true, &topology.Namespace{}
		d.nodes = append(d.nodes, n)
		d.keep(n.owner)
		n = n.parent
	}
}

// remember notes through which task the state of n can be read.
func (d *dumper) remember(t *task, l nsfs.Link, n *node) {
	switch {
	case t.zombie:
	case l == nsfs.TimeForChildren && n.time.pid == 0:
		n.time = member{t.pid, t.tid}
	case l < nsfs.PIDForChildren && n.member.pid == 0:
		n.member = member{t.pid, t.tid}
	}
}

// graph makes the result.
func (d *dumper) graph() (*topology.Graph, error) {
	g := &topology.Graph{Header: d.header()}
	for _, n := range d.nodes {
		n.out.Type, n.out.Ino, n.out.ID, n.out.External = typeOf(n.ref.Type), n.ref.Ino, uint64(n.id), n.external
		g.Namespaces = append(g.Namespaces, n.out)
	}
	for _, n := range d.nodes {
		if n.owner != nil {
			n.out.Owner = n.owner.out
			if n.ref.Type != nsfs.User {
				n.owner.out.Pins = append(n.owner.out.Pins, topology.Pin{Kind: topology.PinOwned, NS: n.out})
			}
		}
		if n.parent != nil {
			n.out.Parent = n.parent.out
			n.parent.out.Pins = append(n.parent.out.Pins, topology.Pin{Kind: topology.PinChild, NS: n.out})
		}
	}
	for _, p := range d.pins {
		if p.node.keep {
			if p.mnt != nil {
				p.Mnt = p.mnt.out
			}
			p.node.out.Pins = append(p.node.out.Pins, p.Pin)
		}
	}
	for _, t := range d.tasks {
		g.Tasks = append(g.Tasks, t.graph())
	}
	return g, g.SortCreation()
}

// graph makes the task's place in the result, and its pins.
func (t *task) graph() *topology.Task {
	out := &topology.Task{PID: t.pid, TID: t.tid, NSPID: t.nspid, Comm: t.name}
	for l, n := range t.nodes {
		if n == nil {
			continue
		}
		out.Namespaces[l] = n.out
		pin := topology.Pin{Kind: topology.PinTask, PID: t.pid}
		switch nsfs.Link(l) {
		case nsfs.PIDForChildren:
			pin.Kind = topology.PinPIDForChildren
			if n == t.nodes[nsfs.InPID] {
				continue
			}
		case nsfs.TimeForChildren:
			pin.Kind = topology.PinTimeForChildren
			if n == t.nodes[nsfs.InTime] {
				continue
			}
		default:
			if t.tid != t.pid {
				pin.Kind, pin.TID = topology.PinThread, t.tid
			}
		}
		n.out.Pins = append(n.out.Pins, pin)
	}
	return out
}

// typeOf maps the kernel's bit to the graph's number.
func typeOf(t nsfs.Type) topology.Type {
	for i, k := range nsfs.Types {
		if k == t {
			return topology.Types[i]
		}
	}
	return 0
}
