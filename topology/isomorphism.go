package topology

import (
	"errors"
	"fmt"
)

// CompareOptions says what [Isomorphic] looks at beyond namespaces.
type CompareOptions struct {
	// Tasks compares which tasks share what: the multiset of memberships,
	// with how many pid namespaces deep each task is, thread by thread.
	Tasks bool
	// IgnoreTime leaves time namespaces out: CRIU makes one on every restore.
	IgnoreTime bool
	// IgnoreOffsets compares time namespaces, but not their offsets, which
	// are against the clocks of one host.
	IgnoreOffsets bool
	// IgnoreNames compares UTS namespaces, but not their host and domain
	// names.
	IgnoreNames bool
	// IgnoreSysctls leaves out sysctls, pid_max among them, and loopback
	// devices.
	IgnoreSysctls bool
}

// ErrUndecided is returned, wrapped, when two graphs are so symmetric and so
// entangled that the search for a mapping was given up. No topology that was
// not made for the purpose comes near it.
var ErrUndecided = errors.New("too symmetric to compare")

// Isomorphic reports whether a and b are the same topology, and returns which
// namespace of b each of a is. Where they differ, the error is a [*Difference];
// any other error is trouble.
//
// Compared are types, states, owners and parents, id maps (in any order of
// extents), creators' uids, setgroups, host and domain names, clock offsets,
// sysctls and loopback devices. Never compared are numbers: inodes, ids, pids,
// last pids, cgroup roots, pins. What one side could not see differs from what the
// other has seen.
//
// External namespaces stand for those of the host, and count only as the ends
// of edges: one is like any other of its type. The mapping holds those that an
// edge of a leads to.
//
// Both graphs must have their edges inside, and not in a circle. The time is
// n log n in the size for all but contrived graphs.
func Isomorphic(a, b *Graph, o CompareOptions) (map[*Namespace]*Namespace, error) {
	c, err := newComparison(a, b, o)
	if err != nil {
		return nil, err
	}
	p, found, decided := c.search()
	switch {
	case !decided:
		return nil, fmt.Errorf("compare topologies: %w", ErrUndecided)
	case !found:
		return nil, c.explain()
	}
	mapping, err := c.equivalent(p.pairs())
	if err != nil {
		// The search goes by the same facts: this cannot be but a fault in it.
		return nil, fmt.Errorf("compare topologies: %w", err)
	}
	return mapping, nil
}

func newComparison(a, b *Graph, o CompareOptions) (*comparison, error) {
	c := &comparison{o: o}
	for i, g := range []*Graph{a, b} {
		s, err := newSide(g, o)
		if err != nil {
			return nil, fmt.Errorf("compare topologies: %s: %w", [...]string{"first", "second"}[i], err)
		}
		c.sides[i] = s
	}
	c.paint()
	return c, nil
}

// search looks for a mapping. decided is false when it was given up.
func (c *comparison) search() (p *partition, found, decided bool) {
	p = newPartition(c)
	if p == nil || !p.refine() {
		return nil, false, true
	}
	found, decided = p.search()
	return p, found, decided
}

// comparison holds two graphs side by side. A node is a namespace or a task;
// the nodes of both sides are numbered from zero.
type comparison struct {
	o     CompareOptions
	sides [2]*side
}

// side is what is compared of one graph, as nodes: its namespaces without the
// external ones, in topological order, then its tasks, then its threads. What
// an edge leads to comes before what it comes from.
type side struct {
	graph  *Graph
	ns     []*Namespace
	tasks  []*Task
	leader []int32 // of each task: its own node, its leader's, or nowhere
	at     map[*Namespace]int32
	up     [][]edge // of each node
	paint  []int32  // by what the node is by itself; equal across sides
}

// edge is one way in which a node hangs on another.
type edge struct {
	label label
	to    int32
}

// label tells kinds of edges apart: a task's link by its number, and these.
type label uint8

const (
	ownerLabel label = NumLinks + iota
	parentLabel
	leaderLabel // from a thread to its task
	numLabels
)

func (s *side) size() int { return len(s.ns) + len(s.tasks) }

func newSide(g *Graph, o CompareOptions) (*side, error) {
	num, order, err := g.acyclic()
	if err != nil {
		return nil, err
	}
	s := &side{graph: g, at: make(map[*Namespace]int32, len(g.Namespaces))}
	for _, i := range order {
		n := num.ns[i]
		if n.External || (o.IgnoreTime && n.Type == Time) {
			continue
		}
		s.at[n] = int32(len(s.ns))
		s.ns = append(s.ns, n)
	}
	s.up = make([][]edge, len(s.ns), len(s.ns)+len(g.Tasks))
	for i, n := range s.ns {
		s.link(i, ownerLabel, n.Owner)
		s.link(i, parentLabel, n.Parent)
	}
	if o.Tasks {
		if err := num.holds(g.Tasks); err != nil {
			return nil, err
		}
		s.addTasks(g, o)
	}
	return s, nil
}

// acyclic numbers the graph and orders it, or says why that cannot be done.
func (g *Graph) acyclic() (*numbered, []int32, error) {
	for _, n := range g.Namespaces {
		if n == nil {
			return nil, nil, errors.New("a namespace is nil")
		}
	}
	num := number(g.Namespaces)
	for i, n := range g.Namespaces {
		if num.owner[i] == outside || num.parent[i] == outside {
			return nil, nil, fmt.Errorf("the owner or parent of %s is not in the graph", n.Name())
		}
	}
	order, waits := num.topological()
	if c := num.cycle(waits); c != nil {
		return nil, nil, fmt.Errorf("owners and parents of %s go in a circle", num.ns[c[0]].Name())
	}
	return num, order, nil
}

// holds reports a link of a task that leads out of the graph.
func (num *numbered) holds(tasks []*Task) error {
	for _, t := range tasks {
		if t == nil {
			return errors.New("a task is nil")
		}
		for l, n := range t.Namespaces {
			if num.position(n) == outside {
				return fmt.Errorf("%s of task %d is not in the graph", Link(l), t.PID)
			}
		}
	}
	return nil
}

// addTasks adds the tasks, leaders before threads.
func (s *side) addTasks(g *Graph, o CompareOptions) {
	leaders := make(map[int]int32)
	for _, threads := range []bool{false, true} {
		for _, t := range g.Tasks {
			if t.thread() != threads {
				continue
			}
			i := int32(s.size())
			s.tasks = append(s.tasks, t)
			s.up = append(s.up, nil)
			lead := i
			if !threads {
				leaders[t.PID] = i
			} else if l, ok := leaders[t.PID]; ok {
				lead = l
				s.up[i] = append(s.up[i], edge{leaderLabel, l})
			} else {
				lead = nowhere
			}
			s.leader = append(s.leader, lead)
			for l, n := range t.Namespaces {
				if o.IgnoreTime && Link(l).Type() == Time {
					continue
				}
				s.link(int(i), label(l), n)
			}
		}
	}
}

func (t *Task) thread() bool { return t.TID != 0 && t.TID != t.PID }

func (s *side) link(i int, l label, to *Namespace) {
	if to == nil || to.External {
		return // told by the node's paint
	}
	if j, ok := s.at[to]; ok {
		s.up[i] = append(s.up[i], edge{l, j})
	}
}

// equivalent checks a mapping fact by fact, and returns it as namespaces,
// together with the external ones at the ends of edges. pairs holds, for each
// node of the first side, one of the second.
func (c *comparison) equivalent(pairs []int32) (map[*Namespace]*Namespace, error) {
	a, b := c.sides[0], c.sides[1]
	m := make(map[*Namespace]*Namespace, len(a.ns))
	for i := range a.ns {
		m[a.ns[i]] = b.ns[pairs[i]]
	}
	end := func(x, y *Namespace) bool {
		switch {
		case x == nil || y == nil:
			return x == y
		case x.External && y.External:
			if _, ok := m[x]; !ok && x.Type == y.Type {
				m[x] = y
			}
			return x.Type == y.Type
		}
		return m[x] == y
	}
	taken := make([]bool, b.size())
	for i, j := range pairs {
		if taken[j] || a.paint[i] != b.paint[j] {
			return nil, fmt.Errorf("mapping %s to %s: unlike, or taken", a.nodeName(i), b.nodeName(int(j)))
		}
		taken[j] = true
	}
	for i, n := range a.ns {
		if o := b.ns[pairs[i]]; !end(n.Owner, o.Owner) || !end(n.Parent, o.Parent) {
			return nil, fmt.Errorf("mapping %s to %s: owner or parent differs", n.Name(), o.Name())
		}
	}
	for i, t := range a.tasks {
		j := int(pairs[len(a.ns)+i]) - len(b.ns)
		if j < 0 || !c.sameTask(t, b.tasks[j], end) || !c.sameLeader(i, j, pairs) {
			return nil, fmt.Errorf("mapping task %d: memberships differ", t.PID)
		}
	}
	return m, nil
}

func (c *comparison) sameTask(t, u *Task, end func(x, y *Namespace) bool) bool {
	for l := range t.Namespaces {
		if c.o.IgnoreTime && Link(l).Type() == Time {
			continue
		}
		if !end(t.Namespaces[l], u.Namespaces[l]) {
			return false
		}
	}
	return len(t.NSPID) == len(u.NSPID)
}

func (c *comparison) sameLeader(i, j int, pairs []int32) bool {
	x, y := c.sides[0].leader[i], c.sides[1].leader[j]
	if x == nowhere || y == nowhere {
		return x == y
	}
	return pairs[x] == y
}

// nodeName names a node in a message.
func (s *side) nodeName(i int) string {
	if i < len(s.ns) {
		return s.ns[i].Name()
	}
	return fmt.Sprintf("task %d", s.tasks[i-len(s.ns)].PID)
}
