package forecast

import (
	"fmt"

	"github.com/renest/renest/topology"
)

// Of returns what CRIU would refuse or break of a tree, what decides first, nothing
// where all is well. The graph is that of the tree of its header's Root, read in
// CRIU's own namespaces, which are the external ones.
//
// A namespace that could not be seen is not judged: where the header is not
// Complete, there may be more. The time is linear in the graph, but for tasks of
// which many are at fault.
func Of(g *topology.Graph) ([]Finding, error) {
	s, err := newSubject(g)
	if err != nil {
		return nil, err
	}
	for _, t := range s.tasks {
		s.task(t)
	}
	s.rootTask()
	for _, n := range g.Namespaces {
		s.pins(n)
		s.edges(n)
	}
	s.silent()
	sortFindings(s.findings)
	return s.findings, nil
}

// criuOrder is that of dump_task_ns_ids (criu/namespaces.c).
var criuOrder = [...]topology.Type{
	topology.PID, topology.Net, topology.IPC, topology.UTS,
	topology.Time, topology.Mnt, topology.User, topology.Cgroup,
}

// task is what dump_task_ns_ids does for each task.
func (s *subject) task(t *topology.Task) {
	for _, kind := range criuOrder {
		n := t.Namespaces[topology.LinkOf(kind)]
		switch {
		case n == nil:
		case n == s.in(kind):
		case kind == topology.Cgroup && n == s.own[kind] && s.cgroupLost(): // the root task comes there
		case n == s.own[kind]:
			s.stayed(t, n)
		case kind != topology.Net && kind != topology.Mnt:
			s.nested(t, n)
		case !s.left(kind):
			s.report(Finding{
				Rule: Shared, Verdict: Destroys, Type: kind, Tasks: []*topology.Task{t}, Namespaces: []*topology.Namespace{n},
				Message: "Can't restore sub-task in NS",
				Loss:    fmt.Sprintf("%s namespace beside that of CRIU, which the root task is in: the dump succeeds and no restore does", kind),
				Remedy:  fmt.Sprintf("dump from a task that is in a %s namespace of its own, or start the tree in one", kind),
				Kept:    true,
			})
		}
	}
	of, in := t.Namespaces[topology.TimeForChildren], t.Namespaces[topology.InTime]
	if of != nil && of != in {
		name := "time" // of which CRIU has a number already, from the root task
		if t != s.root && of != s.own[topology.Time] && of != s.root.Namespaces[topology.TimeForChildren] {
			name = "time_for_children"
		}
		s.report(Finding{
			Rule: TimeChild, Verdict: Refuses, Type: topology.Time, Tasks: []*topology.Task{t}, Namespaces: []*topology.Namespace{of},
			Message: fmt.Sprintf("Can't dump nested %s namespace for %d", name, t.PID),
			Loss:    "a time namespace for children that the task itself is not in",
			Remedy:  "renest dump keeps it; CRIU can dump the tree once the task has executed a program, which enters it",
		})
	}
}

// nested is generate_ns_id (criu/namespaces.c): one of these types is all that
// CRIU can keep.
func (s *subject) nested(t *topology.Task, n *topology.Namespace) {
	s.report(Finding{
		Rule: Nested, Verdict: Refuses, Type: n.Type, Tasks: []*topology.Task{t}, Namespaces: []*topology.Namespace{n},
		Message: fmt.Sprintf("Can't dump nested %s namespace for %d", n.Type, t.PID),
		Loss:    fmt.Sprintf("a nested %s namespace", n.Type),
		Remedy:  "renest dump keeps the namespace; CRIU can dump the tasks in it by themselves",
		Kept:    true,
	})
}

// stayed: the root task has a namespace of its own, and t is in CRIU's, where it
// was started. CRIU knows that one by its number and goes on; what comes of it
// depends on the type (prepare_pstree_kobj_ids, criu/pstree.c).
func (s *subject) stayed(t *topology.Task, n *topology.Namespace) {
	f := Finding{
		Rule: Stayed, Verdict: Destroys, Type: n.Type, Tasks: []*topology.Task{t}, Namespaces: []*topology.Namespace{n},
		Message: "Can't restore sub-task in NS",
		Loss:    fmt.Sprintf("in CRIU's %s namespace, which the root task has left: the dump succeeds and no restore does", n.Type),
		Remedy:  "start the task after the root task has its namespaces",
	}
	switch n.Type {
	case topology.Net:
		f.Verdict, f.Message = Refuses, fmt.Sprintf("Can't infect (pid: %d) with parasite", t.PID)
		f.Loss = "in CRIU's net namespace, which the root task has left"
	case topology.Mnt:
		f.Verdict, f.Message = Refuses, "Can't lookup mount="
		f.Loss = "in CRIU's mount namespace, which the root task has left"
	case topology.Cgroup:
		f.Rule, f.Verdict, f.Message = CgroupRoot, Loses, ""
		f.Loss = "in CRIU's cgroup namespace, which the root task has left: it returns in the root task's"
	}
	s.report(f)
}
