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
		if !slices.IsSortedFunc(n.Pins, comparePins) {
			slices.SortStableFunc(n.Pins, comparePins)
		}
	}
	slices.Sort(g.Header.Missing)
	return nil
}

// creationOrder sorts by numbers alone and, where that is no order of creation,
// finds one by Kahn's algorithm with a heap of those that are ready.
func creationOrder(num *numbered) (sorted []*Namespace, waits []int32) {
	ranked := slices.Clone(num.ns)
	slices.SortStableFunc(ranked, compareNumbers)
	rank := make([]int32, len(num.ns))
	for k, n := range ranked {
		rank[num.at[n]] = int32(k)
	}
	waits = make([]int32, len(num.ns))
	inOrder := true
	for i := range num.ns {
		waits[i] = num.edges(i)
		for _, up := range []int32{num.owner[i], num.parent[i]} {
			inOrder = inOrder && (up < 0 || rank[up] < rank[i])
		}
	}
	if inOrder {
		clear(waits)
		return ranked, waits
	}
	down := num.reverse(num.owner, num.parent)
	ready := &rankHeap{}
	for i, w := range waits {
		if w == 0 {
			heap.Push(ready, rank[i])
		}
	}
	sorted = make([]*Namespace, 0, len(num.ns))
	for ready.Len() > 0 {
		n := ranked[heap.Pop(ready).(int32)]
		sorted = append(sorted, n)
		for _, j := range down.of(num.at[n]) {
			if waits[j]--; waits[j] == 0 {
				heap.Push(ready, rank[j])
			}
		}
	}
	return sorted, waits
}

// rankHeap is a heap of positions in the order by numbers.
type rankHeap []int32

func (h rankHeap) Len() int           { return len(h) }
func (h rankHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h rankHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *rankHeap) Push(x any)        { *h = append(*h, x.(int32)) }
func (h *rankHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}

// compareNumbers orders namespaces without regard to their edges.
func compareNumbers(a, b *Namespace) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Ino, b.Ino))
}

// comparePins looks at the next field only where the one before is the same: it is
// called a great many times.
func comparePins(a, b Pin) int {
	if c := cmp.Compare(a.Kind, b.Kind); c != 0 {
		return c
	}
	if c := cmp.Compare(a.PID, b.PID); c != 0 {
		return c
	}
	return cmp.Or(
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
