package criu

import (
	"context"
	"fmt"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/topology"
)

// verify compares all that there is with the image: the namespaces and how they
// belong together, and where each task is. Every task exists by now, and none runs.
func (r *restorer) verify(ctx context.Context) error {
	live, err := dump.Tree(ctx, r.done[0].pid, dump.Options{Inits: true, NoBinds: true})
	if err != nil {
		return fmt.Errorf("look at what was made: %w", err)
	}
	image := part(r.o.Graph, nil)
	_, err = topology.Isomorphic(image, part(live, r.crewPIDs()), topology.CompareOptions{
		IgnoreTime:    !r.ownTime(),
		IgnoreOffsets: true, // CRIU and restore move them, for clocks to go on
		IgnoreSysctls: true,
	})
	if err != nil {
		return fmt.Errorf("what was made is not what the image has: %w", err)
	}
	r.found, r.clocks = map[*topology.Namespace]*topology.Namespace{}, map[*topology.Namespace]bool{}
	for _, l := range r.done {
		if err := r.match(l, live); err != nil {
			return fmt.Errorf("what was made is not what the image has: %w", err)
		}
	}
	return nil
}

// match finds each task of a layer again, by its number, and with that which live
// namespace each of the image is.
func (r *restorer) match(l *layerRun, live *topology.Graph) error {
	byPID := map[int]*topology.Task{}
	for _, t := range live.Tasks {
		if t.TID == t.PID {
			byPID[t.PID] = t
		}
	}
	root := byPID[l.pid]
	if root == nil {
		return fmt.Errorf("task %d is not there", l.layer.root.PID)
	}
	space := root.Namespaces[topology.InPID]
	byNumber := map[int]*topology.Task{}
	for _, t := range byPID {
		if t.Namespaces[topology.InPID] == space && len(t.NSPID) > 0 {
			byNumber[t.NSPID[len(t.NSPID)-1]] = t
		}
	}
	for _, t := range l.layer.tasks {
		if t.TID != t.PID {
			continue
		}
		number := t.NSPID[len(t.NSPID)-1]
		now := byNumber[number]
		if now == nil {
			return fmt.Errorf("task %d (%s), which had the number %d, is not there", t.PID, t.Comm, number)
		}
		for _, typ := range topology.Types {
			link := topology.LinkOf(typ)
			if err := r.pair(t, t.Namespaces[link], now.Namespaces[link]); err != nil {
				return err
			}
		}
		if err := r.pair(t, t.Namespaces[topology.PIDForChildren], now.Namespaces[topology.PIDForChildren]); err != nil {
			return err
		}
	}
	return nil
}

// pair notes that task t was in one namespace, and is in another in its place.
func (r *restorer) pair(t *topology.Task, was, is *topology.Namespace) error {
	switch {
	case was == nil: // a zombie's, or of a type that the kernel has not
		return nil
	case is == nil:
		return fmt.Errorf("task %d (%s) was in %s, and is in none that can be seen", t.PID, t.Comm, was.Name())
	case was.External && was.Type == topology.Time: // CRIU makes one at every restore
		r.clocks[is] = true
		return nil
	case r.clocks[is]: // the first task of each layer was asked first
		return fmt.Errorf("task %d (%s) was in %s, and has the host's clocks", t.PID, t.Comm, was.Name())
	case was.External != is.External:
		return fmt.Errorf("task %d (%s) was in %s, and is in %s: one of them is the host's", t.PID, t.Comm, was.Name(), is.Name())
	}
	if before := r.found[was]; before != nil && before != is {
		return fmt.Errorf("task %d (%s) shared %s with others, and is in %s without them", t.PID, t.Comm, was.Name(), is.Name())
	}
	for other, taken := range r.found {
		if taken == is && other != was {
			return fmt.Errorf("task %d (%s) was in %s, and shares %s with those who were in %s", t.PID, t.Comm, was.Name(), is.Name(), other.Name())
		}
	}
	r.found[was] = is
	return nil
}

// ownTime reports whether the outermost tasks were in a time namespace of their own. Where
// not, CRIU makes one all the same, and match compares the others.
func (r *restorer) ownTime() bool {
	n := r.layers[0].in(topology.Time)
	return n != nil && !n.External
}

// part returns the graph of the namespaces that tasks are in, apart from some tasks,
// and of those above: what is only held by a descriptor of an ancestor is not the
// tree's.
func part(g *topology.Graph, apart map[int]bool) *topology.Graph {
	out := &topology.Graph{Header: g.Header}
	keep := map[*topology.Namespace]bool{}
	var need func(n *topology.Namespace)
	need = func(n *topology.Namespace) {
		if n != nil && !keep[n] {
			keep[n] = true
			need(n.Owner)
			need(n.Parent)
		}
	}
	for _, t := range g.Tasks {
		if apart[t.PID] {
			continue
		}
		out.Tasks = append(out.Tasks, t)
		for _, n := range t.Namespaces {
			need(n)
		}
	}
	for _, n := range g.Namespaces {
		if keep[n] {
			out.Namespaces = append(out.Namespaces, n)
		}
	}
	return out
}

// crewPIDs are processes of the restore itself.
func (r *restorer) crewPIDs() map[int]bool {
	pids := map[int]bool{}
	for _, l := range r.done {
		for _, pid := range l.helpers {
			pids[pid] = true
		}
	}
	return pids
}
