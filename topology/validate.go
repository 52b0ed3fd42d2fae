package topology

import (
	"errors"
	"fmt"
	"strings"
)

// maxReasons bounds what Validate says: an image may hold a million faults.
const maxReasons = 20

// Validate reports whether g is a topology that a kernel could hold, as far as
// g can tell. It is meant for a graph from an untrusted image as well: it takes
// n log n time in its size whatever the edges are, does not recurse, and joins
// at most twenty reasons, each naming the namespace, and the number of the
// rest.
//
// A nil owner or parent is accepted of an External namespace, and of any when
// Header.Complete is false. What depends on something out of sight is taken for
// granted. External namespaces belong to the host that is there, and their maps
// are not judged.
func (g *Graph) Validate() error {
	v := validation{graph: g}
	if v.nodes(); v.broken {
		return v.err() // nothing to hang further checks on
	}
	v.num = number(g.Namespaces)
	for i, n := range g.Namespaces {
		v.owner(i, n)
		v.parent(i, n)
		v.state(n)
	}
	v.pins()
	v.tasks()
	order, waits := v.num.topological()
	if c := v.num.cycle(waits); c != nil {
		v.cyclic(c, len(waits)-len(order))
		return v.err()
	}
	v.forest = v.num.hierarchy(order)
	v.levels()
	v.pidOwners()
	v.maps()
	return v.err()
}

type validation struct {
	graph   *Graph
	num     *numbered
	forest  *forest
	broken  bool // there is a nil namespace
	reasons []error
	more    int
}

func (v *validation) add(format string, args ...any) {
	if len(v.reasons) == maxReasons {
		v.more++ // not formatted: there may be a million
		return
	}
	v.reasons = append(v.reasons, fmt.Errorf(format, args...))
}

func (v *validation) err() error {
	if v.more > 0 {
		v.reasons = append(v.reasons, fmt.Errorf("… and %d more", v.more))
	}
	return errors.Join(v.reasons...)
}

// nodes checks what each namespace says of itself, and that no two are one.
func (v *validation) nodes() {
	byName := make(map[name]bool, len(v.graph.Namespaces))
	byID := make(map[uint64]*Namespace)
	for i, n := range v.graph.Namespaces {
		if n == nil {
			v.broken = true
			v.add("namespace %d of %d is nil", i+1, len(v.graph.Namespaces))
			continue
		}
		if !n.Type.Valid() {
			v.add("%s: unknown type of namespace", n.Name())
		}
		if byName[name{n.Type, n.Ino}] {
			v.add("%s: in the graph more than once", n.Name())
		}
		byName[name{n.Type, n.Ino}] = true
		if n.ID == 0 {
			continue
		}
		if other := byID[n.ID]; other != nil {
			v.add("%s: has the namespace id %d of %s", n.Name(), n.ID, other.Name())
		}
		byID[n.ID] = n
	}
}

func (v *validation) owner(i int, n *Namespace) {
	switch o := v.num.owner[i]; {
	case o == outside:
		v.add("%s: its owner is not in the graph", n.Name())
	case o == nowhere:
		if !n.External && v.graph.Header.Complete {
			v.add("%s: has no owner, and the graph is said to be complete", n.Name())
		}
	case n.Owner.Type != User:
		v.add("%s: its owner %s is no user namespace", n.Name(), n.Owner.Name())
	case n.External && !n.Owner.External:
		v.add("%s: is external, its owner %s is not", n.Name(), n.Owner.Name())
	}
}

func (v *validation) parent(i int, n *Namespace) {
	p := v.num.parent[i]
	if !n.Type.HasParent() {
		if p != nowhere {
			v.add("%s: has a parent, which only user and pid namespaces have", n.Name())
		}
		return
	}
	if n.Type == User && n.Owner != n.Parent {
		v.add("%s: its owner %s is not its parent %s", n.Name(), nameOrNone(n.Owner), nameOrNone(n.Parent))
		return
	}
	switch {
	case p == outside:
		v.add("%s: its parent is not in the graph", n.Name())
	case p == nowhere:
		// The owner of a user namespace is its parent, and has been checked.
		if n.Type != User && !n.External && v.graph.Header.Complete {
			v.add("%s: has no parent, and the graph is said to be complete", n.Name())
		}
	case n.Parent.Type != n.Type:
		if n.Type != User {
			v.add("%s: its parent %s is of another type", n.Name(), n.Parent.Name())
		}
	case n.Type != User && n.External && !n.Parent.External:
		v.add("%s: is external, its parent %s is not", n.Name(), n.Parent.Name())
	}
}

func nameOrNone(n *Namespace) string {
	if n == nil {
		return "(none)"
	}
	return n.Name()
}

// cyclic names a cycle, and says how many namespaces hang on cycles.
func (v *validation) cyclic(cycle []int32, hang int) {
	const most = 8
	var names []string
	for k, i := range cycle {
		if k == most {
			names = append(names, fmt.Sprintf("… %d more", len(cycle)-most))
			break
		}
		names = append(names, v.num.ns[i].Name())
	}
	names = append(names, v.num.ns[cycle[0]].Name())
	v.add("owners and parents go in a circle: %s (%d namespaces in a circle or below one)",
		strings.Join(names, " → "), hang)
}

// levels checks how deep user and pid namespaces are nested. Only the first on
// a path that is too deep is named.
func (v *validation) levels() {
	for i, n := range v.num.ns {
		limit := int32(MaxUserLevel)
		if n.Type == PID {
			limit = MaxPIDLevel
		}
		if n.Type.HasParent() && v.forest.level[i] == limit+1 {
			v.add("%s: is %d levels below %s, the kernel nests %s namespaces %d deep",
				n.Name(), limit+1, v.num.ns[v.forest.root[i]].Name(), n.Type, limit)
		}
	}
}

// pidOwners checks the rule of create_pid_namespace (kernel/pid_namespace.c):
// the owner of the parent is the owner, or an ancestor of it.
func (v *validation) pidOwners() {
	for i, n := range v.num.ns {
		p, own := v.num.parent[i], v.num.owner[i]
		if n.Type != PID || p < 0 || own < 0 {
			continue
		}
		above := v.num.owner[p]
		// Two trees of user namespaces may be one, further up than the graph goes.
		if above < 0 || v.forest.root[above] != v.forest.root[own] {
			continue
		}
		if !v.forest.above(above, own) {
			v.add("%s: its owner %s is not below %s, which owns its parent %s",
				n.Name(), n.Owner.Name(), v.num.ns[above].Name(), n.Parent.Name())
		}
	}
}
