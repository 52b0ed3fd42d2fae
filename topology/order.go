package topology

import (
	"cmp"
	"container/heap"
	"errors"
	"fmt"
	"slices"
)

// SortCreation puts g into creation order: an owner or a parent comes before
// what it owns or is the parent of. Among those that could come next, the
// first by type (in the order of [Types]), then id, then inode number does:
// user namespaces first. Ids alone would not do, since on Linux 6.18 a younger
// namespace can have the smaller one.
//
// Tasks are sorted by pid and tid, the pins of a namespace by their fields, and
// Header.Missing by its text, so that the same topology is the same sequence in
// whatever order it was found.
//
// A graph whose edges go in a circle or leave it is left as it is, with an
// error.
func (g *Graph) SortCreation() error {
	if slices.Contains(g.Namespaces, nil) || slices.Contains(g.Tasks, nil) {
		return errors.New("sort namespaces: one of them or of the tasks is nil")
	}
	num := number(g.Namespaces)
	for i, n := range g.Namespaces {
		if num.owner[i] == outside || num.parent[i] == outside {
			return fmt.Errorf("sort namespaces: the owner or parent of %s is not in the graph", n.Name())
		}
	}
	sorted, waits := creationOrder(num)
	if c := num.cycle(waits); c != nil {
		return fmt.Errorf("sort namespaces: owners and parents of %s go in a circle", num.ns[c[0]].Name())
	}
	g.Namespaces = sorted
	slices.SortStableFunc(g.Tasks, func(a, b *Task) int {
		return cmp.Or(cmp.Compare(a.PID, b.PID), cmp.Compare(a.TID, b.TID))
	})
	for _, n := range g.Namespaces {
		slices.SortStableFunc(n.Pins, comparePins)
	}
	slices.Sort(g.Header.Missing)
	return nil
}

// creationOrder is Kahn's algorithm with a heap of those that are ready.
func creationOrder(num *numbered) (sorted []*Namespace, waits []int32) {
	waits = make([]int32, len(num.ns))
	down := num.reverse(num.owner, num.parent)
	ready := &readyHeap{ns: num.ns}
	for i := range num.ns {
		if waits[i] = num.edges(i); waits[i] == 0 {
			ready.at = append(ready.at, int32(i))
		}
	}
	heap.Init(ready)
	sorted = make([]*Namespace, 0, len(num.ns))
	for ready.Len() > 0 {
		i := heap.Pop(ready).(int32)
		sorted = append(sorted, num.ns[i])
		for _, j := range down.of(i) {
			if waits[j]--; waits[j] == 0 {
				heap.Push(ready, j)
			}
		}
	}
	return sorted, waits
}

type readyHeap struct {
	ns []*Namespace
	at []int32
}

func (h *readyHeap) Len() int           { return len(h.at) }
func (h *readyHeap) Less(i, j int) bool { return compareNumbers(h.ns[h.at[i]], h.ns[h.at[j]]) < 0 }
func (h *readyHeap) Swap(i, j int)      { h.at[i], h.at[j] = h.at[j], h.at[i] }
func (h *readyHeap) Push(x any)         { h.at = append(h.at, x.(int32)) }
func (h *readyHeap) Pop() any {
	last := len(h.at) - 1
	x := h.at[last]
	h.at = h.at[:last]
	return x
}

// compareNumbers orders namespaces without regard to their edges.
func compareNumbers(a, b *Namespace) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Ino, b.Ino))
}

func comparePins(a, b Pin) int {
	return cmp.Or(
		cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(a.PID, b.PID),
		cmp.Compare(a.TID, b.TID),
		cmp.Compare(a.FD, b.FD),
		cmp.Compare(a.Path, b.Path),
		compareOptional(a.Mnt, b.Mnt),
		compareOptional(a.NS, b.NS),
	)
}

func compareOptional(a, b *Namespace) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	return compareNumbers(a, b)
}
