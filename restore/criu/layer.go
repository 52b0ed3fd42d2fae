package criu

import (
	"fmt"
	"slices"

	dumpcriu "github.com/renest/renest/dump/criu"
	"github.com/renest/renest/topology"
)

// layer is one run of CRIU.
type layer struct {
	record dumpcriu.LayerRecord
	root   *topology.Task
	tasks  []*topology.Task // root first
	over   []*topology.Task // all that is above: inits, and the tasks of outer layers
	// made are the namespaces that CRIU makes, the root's first; enter are those of
	// the root that it has to be in beforehand.
	made, enter []*topology.Namespace
	// parent is the root's, where that is another than the init above.
	parent *topology.Task
	// mounts is where the root directory is found, nil for our own mount namespace.
	mounts *topology.Namespace
}

func (l *layer) in(t topology.Type) *topology.Namespace {
	return l.root.Namespaces[topology.LinkOf(t)]
}

// init reports whether the root is the first process of its pid namespace.
func (l *layer) init() bool {
	return len(l.root.NSPID) > 0 && l.root.NSPID[len(l.root.NSPID)-1] == 1
}

// space is the pid namespace that CRIU runs in.
func (l *layer) space() *topology.Namespace {
	if n := l.in(topology.PID); !l.init() || n.External {
		return n
	}
	return l.in(topology.PID).Parent
}

// share returns the types of namespaces that CRIU is to take its own of.
func (l *layer) share() []topology.Type {
	var types []topology.Type
	for _, n := range l.enter {
		types = append(types, n.Type)
	}
	return types
}

// layers finds out who makes what.
func layers(g *topology.Graph, r *dumpcriu.Record) ([]*layer, error) {
	byPID := map[int]*topology.Task{}
	for _, t := range g.Tasks {
		if t.TID == t.PID {
			byPID[t.PID] = t
		}
	}
	var list []*layer
	taken := map[*topology.Task]bool{}
	for _, rec := range r.Layers {
		l := &layer{record: rec, root: byPID[rec.PID], parent: byPID[rec.Parent]}
		if l.root == nil {
			return nil, fmt.Errorf("%s names task %d, which the image does not have", dumpcriu.RecordName, rec.PID)
		}
		for typ := topology.User; typ <= topology.Net; typ++ {
			if l.in(typ) == nil {
				return nil, fmt.Errorf("the %s namespace of task %d is not in the image", typ, rec.PID)
			}
		}
		list = append(list, l)
	}
	// A task is of the innermost layer whose pid namespace it is in.
	for i := len(list) - 1; i >= 0; i-- {
		l := list[i]
		l.tasks, taken[l.root] = append(l.tasks, l.root), true
		for _, t := range g.Tasks {
			if !taken[t] && t.Namespaces[topology.InPID] == l.in(topology.PID) && !(isInit(t) && t.TID == t.PID) {
				l.tasks, taken[t] = append(l.tasks, t), true
			}
		}
	}
	for i, l := range list {
		for _, t := range g.Tasks {
			if !taken[t] || slices.ContainsFunc(list[:i], func(up *layer) bool { return slices.Contains(up.tasks, t) }) {
				l.over = append(l.over, t)
			}
		}
		l.divide()
		if err := l.judgeParent(list[:i]); err != nil {
			return nil, err
		}
		if l.record.Inside {
			l.mounts = list[i-1].in(topology.Mnt) // the layer above, or one beside it
			for _, up := range list[:i] {
				if up.in(topology.PID) == l.in(topology.PID).Parent {
					l.mounts = up.in(topology.Mnt)
				}
			}
		}
	}
	return list, nil
}

// judgeParent makes sure that a parent that the record names is one of the tasks that
// are there before the layer is.
func (l *layer) judgeParent(above []*layer) error {
	if l.record.Parent == 0 {
		return nil
	}
	in := func(up *layer) bool { return slices.Contains(up.tasks, l.parent) }
	if l.parent == nil || !slices.ContainsFunc(above, in) || l.parent.Namespaces[topology.InPID] != l.space() {
		return fmt.Errorf("%s names task %d as the parent of task %d, and there is none such above it", dumpcriu.RecordName, l.record.Parent, l.record.PID)
	}
	return nil
}

func isInit(t *topology.Task) bool {
	return len(t.NSPID) > 0 && t.NSPID[len(t.NSPID)-1] == 1
}

// divide parts the namespaces of a layer into those that CRIU makes and those that
// are there before it starts.
func (l *layer) divide() {
	for _, t := range topology.Types {
		n := l.in(t)
		switch {
		case n == nil || n.External:
		case l.makes(n):
			l.made = append(l.made, n)
		default:
			l.enter = append(l.enter, n)
		}
	}
	for _, t := range l.tasks[1:] {
		for _, typ := range []topology.Type{topology.Net, topology.Mnt} {
			n := t.Namespaces[topology.LinkOf(typ)]
			if n != nil && !n.External && n.Owner == l.in(topology.User) && l.makes(n) && !slices.Contains(l.made, n) {
				l.made = append(l.made, n)
			}
		}
	}
}

// makes reports whether CRIU makes n: it makes what belongs to the user namespace that
// it runs in, and is used by nobody above.
func (l *layer) makes(n *topology.Namespace) bool {
	switch n.Type {
	case topology.PID:
		return l.init()
	case topology.Mnt, topology.Net, topology.IPC:
		return n.Owner == l.in(topology.User) && !slices.ContainsFunc(l.over, func(t *topology.Task) bool {
			return t.Namespaces[topology.LinkOf(n.Type)] == n
		})
	}
	return false
}

// beforehand returns the graph of what CRIU does not make: the namespaces of the
// layers' tasks and of the inits above, and what those depend on.
func beforehand(g *topology.Graph, list []*layer) *topology.Graph {
	keep := map[*topology.Namespace]bool{}
	var need func(n *topology.Namespace)
	need = func(n *topology.Namespace) {
		if n != nil && !keep[n] {
			keep[n] = true
			need(n.Owner)
			need(n.Parent)
		}
	}
	made, inLayer := map[*topology.Namespace]bool{}, map[*topology.Task]bool{}
	for _, l := range list {
		for _, n := range l.made {
			made[n] = true
		}
		for _, t := range l.tasks {
			inLayer[t] = true
		}
	}
	for _, t := range g.Tasks {
		for _, n := range t.Namespaces {
			need(n)
		}
	}
	part := &topology.Graph{Header: g.Header}
	part.Header.Root = 0
	for _, n := range g.Namespaces {
		if keep[n] && !made[n] || n.External {
			part.Namespaces = append(part.Namespaces, n)
		}
	}
	for _, t := range g.Tasks {
		if !inLayer[t] {
			part.Tasks = append(part.Tasks, t)
		}
	}
	part = part.Clone()
	for _, n := range part.Namespaces {
		n.Pins = nil // they are of tasks that are not there
	}
	return part
}
