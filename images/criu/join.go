package criu

import (
	"fmt"
	"slices"

	"github.com/renest/renest/topology"
)

// Part is a run of CRIU's of which a graph tells the namespaces.
type Part struct {
	Tree *Tree
	PID  int // of its root task, as the graph numbers it
	// Apart are the types of which CRIU was shown every task in the root task's
	// namespace, wherever it was.
	Apart []topology.Type
}

// Join compares what CRIU's images and a graph of the same moment say, and returns
// the disagreements, a sentence each; none is agreement. They are joined by the
// numbers that tasks have in the root task's pid namespace: the only ones that both
// know.
func Join(g *topology.Graph, parts []Part) []string {
	var lines []string
	seen := map[*topology.Task]bool{}
	above := map[*topology.Namespace]bool{} // where the tree's own ancestors live
	for _, part := range parts {
		j := joiner{part: part, ns: map[key]*topology.Namespace{}, ids: map[*topology.Namespace]uint32{}}
		j.join(g, seen)
		lines = append(lines, j.lines...)
		for n := j.outer(); n != nil && !above[n]; n = n.Parent {
			above[n] = true
		}
	}
	for _, t := range g.Tasks {
		if t.TID == t.PID && !seen[t] && !above[t.Namespaces[topology.InPID]] {
			lines = append(lines, fmt.Sprintf("pid %d (%s) is not among CRIU's tasks", t.PID, t.Comm))
		}
	}
	return lines
}

type key struct {
	kind topology.Type
	id   uint32
}

type joiner struct {
	part  Part
	root  *topology.Task
	ns    map[key]*topology.Namespace // by CRIU's number
	ids   map[*topology.Namespace]uint32
	lines []string
}

func (j *joiner) say(format string, args ...any) {
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

// outer returns the pid namespace above that of the root task, if that is its init;
// of a part that is a layer in another, that is where the other's tasks live, which
// were seen.
func (j *joiner) outer() *topology.Namespace {
	if j.root == nil || j.root.NSPID[len(j.root.NSPID)-1] != 1 || j.root.Namespaces[topology.InPID] == nil {
		return nil
	}
	return j.root.Namespaces[topology.InPID].Parent
}

func (j *joiner) join(g *topology.Graph, seen map[*topology.Task]bool) {
	for _, t := range g.Tasks {
		if t.PID == j.part.PID && t.TID == t.PID {
			j.root = t
		}
	}
	root := j.root
	if root == nil {
		j.say("pid %d, the root of CRIU's tasks, is not in the topology", j.part.PID)
		return
	}
	byNumber := map[int]*topology.Task{}
	level := len(root.NSPID) - 1
	for _, t := range g.Tasks {
		if t.TID == t.PID && level < len(t.NSPID) && t.Namespaces[topology.InPID] == root.Namespaces[topology.InPID] {
			byNumber[t.NSPID[level]] = t
		}
	}
	for i := range j.part.Tree.Tasks {
		task := &j.part.Tree.Tasks[i]
		t := byNumber[task.PID]
		if t == nil {
			j.say("CRIU's task %d (%s) is not in the topology", task.PID, task.Comm)
			continue
		}
		seen[t] = true
		if task.Comm != "" && t.Comm != "" && task.Comm != t.Comm {
			j.say("pid %d is %s in the topology, and %s to CRIU", t.PID, t.Comm, task.Comm)
		}
		j.task(task, t)
	}
}

// task compares the namespaces that a task is in: which are one to CRIU have to be
// one in the topology, and the other way round.
func (j *joiner) task(task *Task, t *topology.Task) {
	for _, kind := range topology.Types {
		n, id := t.Namespaces[topology.LinkOf(kind)], task.IDs[kind]
		if n == nil || id == 0 {
			continue
		}
		if slices.Contains(j.part.Apart, kind) {
			n = j.root.Namespaces[topology.LinkOf(kind)]
		}
		k := key{kind, id}
		other, known := j.ns[k], j.ids[n]
		switch {
		case other == nil && known == 0:
			j.ns[k], j.ids[n] = n, id
			j.state(n, k)
		case other != n && other != nil:
			j.say("pid %d is in %s, and to CRIU in what is %s", t.PID, n.Name(), other.Name())
		case known != id:
			j.say("pid %d is in %s, and to CRIU in another %s namespace than the tasks before it", t.PID, n.Name(), kind)
		}
	}
}

// state compares what a namespace holds where both say.
func (j *joiner) state(n *topology.Namespace, k key) {
	if u := j.part.Tree.UTS[k.id]; k.kind == topology.UTS && u != nil && n.UTS != nil && *u != *n.UTS {
		j.say("%s has the name %q, and %q to CRIU", n.Name(), n.UTS.NodeName, u.NodeName)
	}
}

// Graph returns what CRIU's images alone tell: the tasks and what they share. The
// numbers of namespaces are CRIU's, and owners and parents are unknown.
func (t *Tree) Graph() *topology.Graph {
	g := &topology.Graph{Header: topology.Header{
		Source: "criu",
		Missing: []string{
			"namespaces: kernel ids, owners and parents: CRIU does not save them",
			"namespaces: those without a task, of threads and of children: CRIU does not save them",
		},
	}}
	all := map[key]*topology.Namespace{}
	if len(t.Tasks) > 0 {
		g.Header.Root = t.Tasks[0].PID
	}
	for i := range t.Tasks {
		from := &t.Tasks[i]
		task := &topology.Task{PID: from.PID, TID: from.PID, NSPID: []int{from.PID}, Comm: from.Comm}
		for _, kind := range topology.Types {
			id := from.IDs[kind]
			if id == 0 {
				continue
			}
			k := key{kind, id}
			n := all[k]
			if n == nil {
				n = &topology.Namespace{Type: kind, Ino: uint64(id), External: id == t.Own[kind]}
				switch kind {
				case topology.User:
					n.User = t.User[id]
				case topology.UTS:
					n.UTS = t.UTS[id]
				}
				all[k] = n
				g.Namespaces = append(g.Namespaces, n)
			}
			task.Namespaces[topology.LinkOf(kind)] = n
		}
		g.Tasks = append(g.Tasks, task)
	}
	return g
}
