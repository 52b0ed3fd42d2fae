package topology

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// TreeEdge is the kind of edge that a tree is drawn along.
type TreeEdge uint8

// The edges.
const (
	ByOwner  TreeEdge = iota // user namespaces, and what each owns
	ByParent                 // the hierarchy of pid namespaces
)

// TreeOptions says how [WriteTree] draws. The zero value is good.
type TreeOptions struct {
	By TreeEdge
	// Fold is how many siblings of one shape are drawn at most: of more, one
	// less is drawn, with a line that counts the rest. Shape is what is
	// there, whatever its names and numbers. 0 is 8, less than 0 no bound.
	Fold int
	// Width is how many columns details are made to fit; 0 is 80.
	Width int
}

// WriteTree draws g as a text tree, a line for each namespace: its name, state,
// what it holds, and the tasks that live there. Each task is drawn once, with
// its pid and, in brackets, its pid in the namespace: at its pid namespace, or
// where that is external, at its user namespace, or else at the first of its
// namespaces that is not. A namespace with no task at all says so, if the graph
// has any tasks.
//
// External namespaces with nothing below them share a line. What has an owner
// that was out of sight comes last, under a line that says so, and does not
// look like a root.
func WriteTree(w io.Writer, g *Graph, o TreeOptions) error {
	o.Fold = cmp.Or(o.Fold, 8)
	o.Width = cmp.Or(o.Width, 80)
	num, order, err := g.acyclic()
	if err != nil {
		return fmt.Errorf("draw tree: %w", err)
	}
	t := &tree{o: o, num: num, w: bufio.NewWriter(w), members: membersOf(g)}
	if err := t.plant(order); err != nil {
		return err
	}
	t.shapes(order)
	t.roots()
	if err := t.w.Flush(); err != nil {
		return fmt.Errorf("draw tree: %w", err)
	}
	return nil
}

type tree struct {
	o       TreeOptions
	num     *numbered
	down    adjacency
	drawn   []bool // whether a namespace is in this kind of tree
	lost    []int32
	top     []int32
	shape   []int32
	size    []int32 // of the subtree
	members *members
	w       *bufio.Writer
}

// plant finds roots and branches. order is topological.
func (t *tree) plant(order []int32) error {
	edges := t.num.owner
	if t.o.By == ByParent {
		edges = t.num.parent
	}
	t.down = t.num.reverse(edges)
	t.drawn = make([]bool, len(order))
	depth := make([]int, len(order))
	for _, i := range order {
		n := t.num.ns[i]
		if t.o.By == ByParent && n.Type != PID {
			continue
		}
		t.drawn[i] = true
		switch up := edges[i]; {
		case up >= 0:
			if depth[i] = depth[up] + 1; depth[i] > maxWalk {
				return fmt.Errorf("draw tree: %s is deeper than the kernel nests, validate the graph first", n.Name())
			}
		case n.External && n.Type.HasParent():
			t.top = append(t.top, i)
		default:
			t.lost = append(t.lost, i)
		}
	}
	return nil
}

// shapes numbers the shapes of subtrees: the same for two that look alike but
// for names and numbers.
func (t *tree) shapes(order []int32) {
	numbers := make(interner)
	t.shape, t.size = make([]int32, len(order)), make([]int32, len(order))
	var key []byte
	for k := len(order) - 1; k >= 0; k-- {
		i := order[k]
		n := t.num.ns[i]
		var below []uint64
		t.size[i] = 1
		for _, j := range t.down.of(i) {
			if t.drawn[j] {
				below = append(below, uint64(t.shape[j]))
				t.size[i] += t.size[j]
			}
		}
		key = append(key[:0], byte(n.Type), byte(n.State), edgeKind(n), edgeKind(n.Parent), 0)
		if u := n.User; u != nil && len(u.UIDMap)+len(u.GIDMap) > 0 {
			key[4] = 1
		}
		if t.members.any[n] {
			key[4] |= 2
		}
		t.shape[i] = numbers.of(appendColours(key, below))
	}
}

func (t *tree) roots() {
	for _, i := range t.sorted(t.top) {
		t.print("", t.line(i, 0))
		t.branches("", t.branchesOf(i))
	}
	if len(t.lost) > 0 {
		what := "owner"
		if t.o.By == ByParent {
			what = "parent"
		}
		t.print("", fmt.Sprintf("(%s out of sight)", what))
		t.branches("", t.sorted(t.lost))
	}
}

func (t *tree) branchesOf(i int32) []int32 {
	var list []int32
	for _, j := range t.down.of(i) {
		if t.drawn[j] {
			list = append(list, j)
		}
	}
	return t.sorted(list)
}

// sorted puts siblings in the order in which they are drawn: user namespaces,
// which have things below them, last; those of one shape together.
func (t *tree) sorted(list []int32) []int32 {
	rank := func(i int32) int {
		if t.num.ns[i].Type == User {
			return 1
		}
		return 0
	}
	byNumber := func(i, j int32) int {
		return cmp.Or(cmp.Compare(rank(i), rank(j)), compareNumbers(t.num.ns[i], t.num.ns[j]))
	}
	list = slices.Clone(list)
	slices.SortFunc(list, byNumber)
	first := make(map[int32]int)
	for k, i := range list {
		if _, ok := first[t.shape[i]]; !ok {
			first[t.shape[i]] = k
		}
	}
	slices.SortStableFunc(list, func(i, j int32) int {
		return cmp.Compare(first[t.shape[i]], first[t.shape[j]])
	})
	return list
}

// branch is a line below a namespace: a sibling, or text in place of several.
type branch struct {
	ns   int32 // nowhere for text
	text string
}

func (t *tree) branches(prefix string, list []int32) {
	lines := t.fold(list)
	for k, b := range lines {
		twig, stem := "├─ ", "│  "
		if k == len(lines)-1 {
			twig, stem = "└─ ", "   "
		}
		if b.ns == nowhere {
			t.print(prefix+twig, b.text)
			continue
		}
		t.print(prefix+twig, t.line(b.ns, columns(prefix+twig)))
		t.branches(prefix+stem, t.branchesOf(b.ns))
	}
}

// fold turns siblings into lines: external ones without branches into one, and
// many of one shape into fewer.
func (t *tree) fold(list []int32) []branch {
	var lines []branch
	var external []string
	for len(list) > 0 {
		k := 1
		for k < len(list) && t.shape[list[k]] == t.shape[list[0]] {
			k++
		}
		alike := list[:k]
		list = list[k:]
		if n := t.num.ns[alike[0]]; n.External && n.Type != User && t.size[alike[0]] == 1 {
			external = append(external, n.Type.String())
			continue
		}
		lines = append(lines, t.foldAlike(alike)...)
	}
	if len(external) > 0 {
		text := "external " + strings.Join(external, ", ")
		lines = append([]branch{{ns: nowhere, text: text}}, lines...)
	}
	return lines
}

func (t *tree) foldAlike(alike []int32) []branch {
	draw := len(alike)
	if t.o.Fold > 0 && draw > t.o.Fold {
		draw = max(t.o.Fold-1, 1)
	}
	var lines []branch
	for _, i := range alike[:draw] {
		lines = append(lines, branch{ns: i})
	}
	if rest := len(alike) - draw; rest > 0 {
		text := fmt.Sprintf("… %d more like this", rest)
		if size := int(t.size[alike[0]]); size > 1 {
			text += fmt.Sprintf(" (%d namespaces)", rest*size)
		}
		lines = append(lines, branch{ns: nowhere, text: text})
	}
	return lines
}

// print writes a line. The buffer keeps the first error until it is flushed.
func (t *tree) print(prefix, line string) {
	_, _ = t.w.WriteString(prefix)
	_, _ = t.w.WriteString(line)
	_ = t.w.WriteByte('\n')
}
