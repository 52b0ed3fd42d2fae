package forecast

import (
	"errors"
	"fmt"

	"github.com/renest/renest/topology"
)

// subject is a tree as CRIU will look at it.
type subject struct {
	g     *topology.Graph
	root  *topology.Task
	own   [topology.Time + 1]*topology.Namespace // CRIU's own, by type
	tasks []*topology.Task                       // which CRIU asks for namespaces: leaders that live
	// threads are those whose namespaces differ from their leader's.
	threads []*topology.Task
	zombies []*topology.Task
	byPID   map[int]*topology.Task // of tasks
	// lived are the namespaces that some of tasks is in: CRIU has a number for
	// them, and for its own.
	lived map[*topology.Namespace]bool

	findings []Finding
}

// ErrNoRoot says that a graph is not of a tree, or that its root is not in it.
var ErrNoRoot = errors.New("not the graph of a tree of processes with its root task")

func newSubject(g *topology.Graph) (*subject, error) {
	s := &subject{g: g, lived: map[*topology.Namespace]bool{}, byPID: map[int]*topology.Task{}}
	for _, n := range g.Namespaces {
		// The external ones of a type are the observer's own and those above it,
		// and what is above comes first.
		if n.External && n.Type.Valid() {
			s.own[n.Type] = n
		}
	}
	for _, t := range g.Tasks {
		switch {
		case t.TID != t.PID:
			s.threads = append(s.threads, t)
		case t.Namespaces[topology.InUser] == nil:
			// It could not be looked at: Header.Missing says so.
		case t.Namespaces[topology.InMnt] == nil:
			s.zombies = append(s.zombies, t)
		default:
			s.add(t)
		}
	}
	if s.root == nil {
		return nil, fmt.Errorf("forecast of pid %d: %w", g.Header.Root, ErrNoRoot)
	}
	return s, nil
}

func (s *subject) add(t *topology.Task) {
	s.tasks = append(s.tasks, t)
	s.byPID[t.PID] = t
	if t.PID == s.g.Header.Root {
		s.root = t
	}
	for l := topology.InUser; l <= topology.InTime; l++ {
		if n := t.Namespaces[l]; n != nil {
			s.lived[n] = true
		}
	}
}

// left reports whether the root task has a namespace of type t to itself, so that
// CRIU will dump it: the bit of t in CRIU's root_ns_mask.
func (s *subject) left(t topology.Type) bool {
	n := s.in(t)
	return n != nil && n != s.own[t]
}

// in returns the root task's namespace of type t.
func (s *subject) in(t topology.Type) *topology.Namespace {
	return s.root.Namespaces[topology.LinkOf(t)]
}

// cgroupLost reports whether the root task has a cgroup namespace that CRIU does not
// see: it tells one from its own by the part of a path that is not shown inside
// (cgns_prefix, criu/cgroup.c), and one that was made in the root cgroup hides none.
func (s *subject) cgroupLost() bool {
	n := s.in(topology.Cgroup)
	return s.left(topology.Cgroup) && n.Cgroup != nil && n.Cgroup.Root == "/" && !n.Cgroup.V1
}

func (s *subject) report(f Finding) {
	for i := range s.findings {
		have := &s.findings[i]
		if have.Rule == f.Rule && have.Type == f.Type && have.Verdict == f.Verdict {
			have.Tasks = appendNew(have.Tasks, f.Tasks)
			have.Namespaces = appendNew(have.Namespaces, f.Namespaces)
			return
		}
	}
	s.findings = append(s.findings, f)
}

// appendNew appends what is not there yet. What comes after one another is often
// the same.
func appendNew[T comparable](list, more []T) []T {
	for _, m := range more {
		known := false
		for _, have := range list {
			if have == m {
				known = true
				break
			}
		}
		if !known {
			list = append(list, m)
		}
	}
	return list
}
