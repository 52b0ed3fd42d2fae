package dump

import (
	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// slab is how many namespaces are allocated at once: a dump has thousands.
const slab = 256

func (d *dumper) newNamespace() *topology.Namespace {
	if len(d.spare) == 0 {
		d.spare = make([]topology.Namespace, slab)
	}
	n := &d.spare[0]
	d.spare = d.spare[1:]
	return n
}

// graph makes the result.
func (d *dumper) graph() (*topology.Graph, error) {
	g := &topology.Graph{Header: d.header(), Namespaces: make([]*topology.Namespace, 0, len(d.nodes))}
	for _, n := range d.nodes {
		out := n.out
		out.Type, out.Ino, out.ID, out.External = typeOf(n.ref.Type), n.ref.Ino, uint64(n.id), n.external
		if n.owner != nil {
			out.Owner = n.owner.out
		}
		if n.parent != nil {
			out.Parent = n.parent.out
		}
		g.Namespaces = append(g.Namespaces, out)
	}
	d.graphTasks(g)
	d.graphPins()
	return g, g.SortCreation()
}

// graphTasks adds the tasks.
func (d *dumper) graphTasks(g *topology.Graph) {
	all := make([]topology.Task, len(d.tasks))
	g.Tasks = make([]*topology.Task, len(d.tasks))
	for i, t := range d.tasks {
		out := &all[i]
		out.PID, out.TID, out.NSPID, out.Comm = t.pid, t.tid, t.nspid, t.name
		for l, n := range t.nodes {
			if n != nil {
				out.Namespaces[l] = n.out
			}
		}
		g.Tasks[i] = out
	}
}

// graphPins adds to each namespace what pins it, all in one piece of memory: they
// are counted first.
func (d *dumper) graphPins() {
	total := 0
	d.eachPin(func(n *node, _ topology.Pin) {
		n.pinned++
		total++
	})
	all := make([]topology.Pin, total)
	for _, n := range d.nodes {
		if n.pinned > 0 {
			n.out.Pins, all = all[:0:n.pinned], all[n.pinned:]
		}
	}
	d.eachPin(func(n *node, p topology.Pin) { n.out.Pins = append(n.out.Pins, p) })
}

// eachPin calls f with everything that keeps a namespace of the dump alive.
func (d *dumper) eachPin(f func(*node, topology.Pin)) {
	for _, t := range d.tasks {
		t.eachPin(f)
	}
	for i := range d.pins {
		p := &d.pins[i]
		if !p.node.keep {
			continue
		}
		out := p.Pin
		if p.mnt != nil {
			out.Mnt = p.mnt.out
		}
		f(p.node, out)
	}
	for _, n := range d.nodes {
		if n.parent != nil {
			f(n.parent, topology.Pin{Kind: topology.PinChild, NS: n.out})
		}
		if n.owner != nil && n.ref.Type != nsfs.User {
			f(n.owner, topology.Pin{Kind: topology.PinOwned, NS: n.out})
		}
	}
}

// eachPin calls f with what a task is in, and its children will be in.
func (t *task) eachPin(f func(*node, topology.Pin)) {
	for l, n := range t.nodes {
		if n == nil {
			continue
		}
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
		f(n, pin)
	}
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
