package criu

import (
	"errors"
	"fmt"
	"slices"

	"github.com/renest/renest/topology"
)

// Layer is what CRIU takes in one go: a process and its descendants, down to the
// first process of a further pid namespace.
type Layer struct {
	Root  *topology.Task
	Tasks []*topology.Task // Root first, threads included
	// Above is the layer that Root's parent is in, nil for the outermost.
	Above *Layer
	// Parent is Root's parent, where that is not an init, who would adopt it.
	Parent *topology.Task
	// Join are namespaces of Root that CRIU has to be in: what an ancestor owns or
	// uses, to be taken for what it is, not the tree's own; cgroup namespaces.
	Join []*topology.Namespace
	// Outside are net namespaces of tasks that Root's user namespace does not own.
	// CRIU would give them to it: they are made by renest, and handed over.
	Outside []*topology.Namespace
	// Apart are the processes in namespaces of [ApartTypes] other than Root's: of ipc ones
	// with nothing in them, of user ones those with one thread. CRIU refuses them:
	// it is shown them in those of Root, and a restore has them enter their own again.
	Apart []*topology.Task

	groups map[int][]uint32 // see groupsApart
}

// ApartTypes are the types of namespaces that a restored task can be led into again by
// setns(2), and that hold nothing of the task's for CRIU to save. User namespaces are the
// last: who is in one has no power over what those above own.
var ApartTypes = [...]topology.Type{topology.UTS, topology.IPC, topology.Cgroup, topology.Time, topology.User}

// User is the user namespace of the layer's tasks.
func (l *Layer) User() *topology.Namespace { return l.Root.Namespaces[topology.InUser] }

// Init reports whether Root is the first process of its pid namespace.
func (l *Layer) Init() bool { return isInit(l.Root) }

// In returns the namespace of a type that Root is in.
func (l *Layer) In(t topology.Type) *topology.Namespace {
	return l.Root.Namespaces[topology.LinkOf(t)]
}

// Joins reports whether CRIU has to be in n, which is Root's.
func (l *Layer) Joins(n *topology.Namespace) bool { return slices.Contains(l.Join, n) }

func isInit(t *topology.Task) bool {
	return t.TID == t.PID && len(t.NSPID) > 0 && t.NSPID[len(t.NSPID)-1] == 1
}

// isZombie reports whether a task has ended: of its namespaces two are left then.
func isZombie(t *topology.Task) bool { return t.Namespaces[topology.InMnt] == nil }

// Split parts the tasks of a tree into layers, each after the one above. The graph is
// of package dump, with the inits above the tree; parents has the parent of each of
// its processes. The error has every reason why CRIU cannot take the tree, or would
// take it and lose something.
func Split(g *topology.Graph, parents map[int]int) ([]*Layer, error) {
	s := splitter{graph: g, parents: parents, leaders: map[int]*topology.Task{}, of: map[*topology.Task]*Layer{}}
	for _, t := range g.Tasks {
		if t.TID == t.PID {
			s.leaders[t.PID] = t
		}
	}
	s.root = s.leaders[g.Header.Root]
	if s.root == nil {
		return nil, fmt.Errorf("the image has no task %d, of which it says that it is the tree's root", g.Header.Root)
	}
	s.assign()
	for _, l := range s.layers {
		s.judge(l)
	}
	s.judgePins()
	return s.layers, errors.Join(s.errs...)
}

type splitter struct {
	graph   *topology.Graph
	parents map[int]int
	leaders map[int]*topology.Task
	root    *topology.Task
	layers  []*Layer
	of      map[*topology.Task]*Layer // by leader
	over    []*topology.Task          // the inits above
	errs    []error
}

func (s *splitter) refuse(format string, args ...any) {
	s.errs = append(s.errs, fmt.Errorf(format, args...))
}

// who names a task.
func who(t *topology.Task) string {
	if t.TID != t.PID {
		return fmt.Sprintf("thread %d of pid %d (%s)", t.TID, t.PID, t.Comm)
	}
	return fmt.Sprintf("pid %d (%s)", t.PID, t.Comm)
}

// assign finds the layer of each task.
func (s *splitter) assign() {
	for _, t := range s.graph.Tasks {
		if t.TID == t.PID {
			s.layer(t, 0)
		}
	}
	for _, t := range s.graph.Tasks {
		if l := s.of[s.leaders[t.PID]]; l != nil && t != l.Root {
			l.Tasks = append(l.Tasks, t)
		}
	}
}

// layer returns the layer that a process is in, nil where it is none of the tree's.
func (s *splitter) layer(t *topology.Task, depth int) *Layer {
	if l, ok := s.of[t]; ok {
		return l
	}
	parent := s.leaders[s.parents[t.PID]]
	var l *Layer
	switch {
	case t == s.root:
		l = s.newLayer(t, nil)
	case s.isOver(t):
		s.over = append(s.over, t)
	case parent == nil || depth > len(s.leaders):
		s.refuse("%s dies with the tree and does not descend from its root: CRIU does not see it; end it, or dump the tree that it belongs to", who(t))
	default:
		l = s.layer(parent, depth+1)
		if l != nil && isInit(t) && t.Namespaces[topology.InPID] != parent.Namespaces[topology.InPID] {
			l = s.newLayer(t, l)
			if !isInit(parent) {
				l.Parent = parent
			}
		}
	}
	s.of[t] = l
	return l
}

func (s *splitter) newLayer(t *topology.Task, above *Layer) *Layer {
	l := &Layer{Root: t, Tasks: []*topology.Task{t}, Above: above}
	s.of[t] = l
	s.layers = append(s.layers, l)
	return l
}

// isOver reports whether t is the init of the root's pid namespace or of one above,
// and not itself the root.
func (s *splitter) isOver(t *topology.Task) bool {
	in, own := t.Namespaces[topology.InPID], s.root.Namespaces[topology.InPID]
	return isInit(t) && t != s.root && in != nil && (in == own || topology.IsAncestor(in, own))
}

// judge finds what CRIU is to be told of a layer, and what it cannot do.
func (s *splitter) judge(l *Layer) {
	for _, t := range topology.Types {
		if l.In(t) == nil && t != topology.Time && t != topology.Cgroup {
			s.refuse("%s: its %s namespace could not be read", who(l.Root), t)
			return
		}
	}
	for _, t := range topology.Types {
		s.judgeRoot(l, t)
		s.judgeParent(l, t)
	}
	for _, t := range l.Tasks[1:] {
		s.judgeTask(l, t)
	}
	for _, t := range l.Tasks {
		s.judgeChildren(l, t)
	}
}

// judgeRoot looks at where the root of a layer is.
func (s *splitter) judgeRoot(l *Layer, t topology.Type) {
	n := l.In(t)
	if n == nil || n.External || t == topology.User {
		return
	}
	if t == topology.PID {
		switch {
		case !l.Init() && l.Above != nil:
			s.refuse("%s: its pid namespace has another init", who(l.Root))
		case l.Init() && n.Owner != l.User():
			s.refuse("%s is the init of %s, which belongs to another user namespace than it is in: CRIU would give it to that one", who(l.Root), n.Name())
		}
		return
	}
	// Of a thread in a cgroup namespace CRIU reads another cgroup than of its
	// leader, and then fails to move it (dump_thread_cgroup, criu/cgroup.c). In that
	// namespace itself it does not.
	if n.Owner == l.User() && !s.usedAbove(n, l) && t != topology.Cgroup {
		return // its own
	}
	if t == topology.Mnt {
		s.refuse("%s shares %s with what is above it: what is mounted there is not the tree's to save; give it a mount namespace of its own", who(l.Root), n.Name())
		return
	}
	l.Join = append(l.Join, n)
}

// judgeParent looks at the parent that the root of a layer is to have again: that one
// begets the CRIU that restores the layer, which has the parent's rights where it is to
// enter namespaces.
func (s *splitter) judgeParent(l *Layer, t topology.Type) {
	if l.Above == nil {
		return
	}
	parent := l.Above.Root
	if l.Parent != nil {
		parent = l.Parent
	}
	n, up := l.In(t), parent.Namespaces[topology.LinkOf(t)]
	if t == topology.PID {
		if n.Parent != up {
			s.refuse("%s is the first process of a container, and its parent, %s, is not in the pid namespace above: CRIU cannot bring it back as a child of that", who(l.Root), who(parent))
		}
		return
	}
	if n == up || n == nil || l.Parent == nil {
		return
	}
	user := parent.Namespaces[topology.InUser]
	if n.External || n.Owner != user && !topology.IsAncestor(user, n.Owner) {
		s.refuse("%s is in %s, which its parent, %s, has no rights to enter: CRIU cannot bring it back as a child of that", who(l.Root), n.Name(), who(parent))
	}
}

// usedAbove reports whether a task above the layer is in n.
func (s *splitter) usedAbove(n *topology.Namespace, l *Layer) bool {
	in := func(t *topology.Task) bool { return t.Namespaces[topology.LinkOf(n.Type)] == n }
	if slices.ContainsFunc(s.over, in) {
		return true
	}
	for up := l.Above; up != nil; up = up.Above {
		if slices.ContainsFunc(up.Tasks, in) {
			return true
		}
	}
	return false
}

// judgeTask looks at where a task of a layer is that is not where the root is.
func (s *splitter) judgeTask(l *Layer, t *topology.Task) {
	for _, typ := range topology.Types {
		n, root := t.Namespaces[topology.LinkOf(typ)], l.In(typ)
		if t.TID != t.PID {
			root = s.leaders[t.PID].Namespaces[topology.LinkOf(typ)]
		}
		if n == nil || n == root {
			continue // CRIU keeps no namespaces of a zombie
		}
		switch {
		case t.TID != t.PID:
			s.refuse("%s is in %s, its process is not: CRIU restores all threads where the first one is", who(t), n.Name())
		case slices.Contains(ApartTypes[:], typ) && !isZombie(t) && !n.External && (n.Owner == l.User() || topology.IsAncestor(l.User(), n.Owner)):
			// To enter it takes rights there, which the layer's root has.
			if !slices.Contains(l.Apart, t) {
				l.Apart = append(l.Apart, t)
			}
		case typ != topology.Net && typ != topology.Mnt:
			s.refuse("%s is in %s and has no pid namespace of its own with it: CRIU says \"Can't dump nested %s namespace for %d\"", who(t), n.Name(), typ, t.PID)
		case root.External:
			s.refuse("%s is in %s, the tree's root %s in that of the host: CRIU dumps such a tree, kills it, and cannot restore it (\"Can't restore sub-task in NS\"); give the root a %s namespace of its own", who(t), n.Name(), who(l.Root), typ)
		case n.External:
			s.refuse("%s is in the host's %s, the tree's root is not: CRIU would dump the host's", who(t), n.Name())
		case n.Owner == l.User():
		case typ == topology.Mnt:
			s.refuse("%s is in %s, which belongs to another user namespace than the tree's: CRIU would give it to the tree's, and cannot be handed one", who(t), n.Name())
		case !slices.Contains(l.Outside, n):
			l.Outside = append(l.Outside, n)
		}
	}
}

// judgeChildren looks at where a task's children will be: a restore has it enter the
// pid namespace of a layer right below again.
func (s *splitter) judgeChildren(l *Layer, t *topology.Task) {
	for _, link := range []topology.Link{topology.PIDForChildren, topology.TimeForChildren} {
		in, own := t.Namespaces[link], t.Namespaces[topology.LinkOf(link.Type())]
		if in == nil || own == nil || in == own {
			continue
		}
		below := func(b *Layer) bool { return b.Above == l && b.In(topology.PID) == in }
		if t.TID != t.PID || !slices.ContainsFunc(s.layers, below) {
			s.refuse("the children of %s will be in %s: CRIU does not keep that", who(t), in.Name())
		}
	}
}

// judgePins refuses open descriptors of namespaces that no task of the same layer is
// in: CRIU knows a namespace by its tasks.
func (s *splitter) judgePins() {
	for _, n := range s.graph.Namespaces {
		for _, p := range n.Pins {
			l := s.of[s.leaders[p.PID]]
			if l == nil || p.Kind != topology.PinFD && p.Kind != topology.PinInFlight {
				continue
			}
			member := func(t *topology.Task) bool { return t.Namespaces[topology.LinkOf(n.Type)] == n }
			if !slices.ContainsFunc(l.Tasks, member) {
				s.refuse("%s has a descriptor of %s, which no task beside it is in: CRIU says \"No NS ID with kid\"", who(s.leaders[p.PID]), n.Name())
			}
		}
	}
}
