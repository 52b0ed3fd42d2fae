package topology

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// picture is what is drawn of a graph, in any form: a forest of namespaces
// along one kind of edge, with siblings in order and many alike folded.
type picture struct {
	by      TreeEdge
	roots   []*twig
	members *members
}

// twig is a namespace in a picture, or text in place of several.
type twig struct {
	ns    *Namespace // nil for text
	text  string
	why   mark // of a text, what it stands for
	below []*twig
}

// mark is something that a legend may have to explain.
type mark uint8

const (
	noMark mark = iota
	foldMark
	externalMark
	outOfSightMark
)

// newPicture draws g up. fold is as in [TreeOptions].
func newPicture(g *Graph, by TreeEdge, fold int) (*picture, error) {
	num, order, err := g.acyclic()
	if err != nil {
		return nil, err
	}
	p := &planter{by: by, fold: fold, num: num, members: membersOf(g)}
	if err := p.plant(order); err != nil {
		return nil, err
	}
	p.shapes(order)
	out := &picture{by: by, members: p.members}
	for _, i := range p.sorted(p.top) {
		out.roots = append(out.roots, p.twig(i))
	}
	if len(p.lost) > 0 {
		out.roots = append(out.roots, &twig{
			text: fmt.Sprintf("(%s out of sight)", by.up()), why: outOfSightMark, below: p.twigs(p.lost),
		})
	}
	return out, nil
}

// each calls f for every twig, from above.
func (p *picture) each(f func(*twig)) {
	var walk func([]*twig)
	walk = func(list []*twig) {
		for _, b := range list {
			f(b)
			walk(b.below) // newPicture bounds the depth
		}
	}
	walk(p.roots)
}

// planter makes a picture.
type planter struct {
	by      TreeEdge
	fold    int
	num     *numbered
	down    adjacency
	drawn   []bool // whether a namespace is in this kind of tree
	lost    []int32
	top     []int32
	shape   []int32
	size    []int32 // of the subtree
	members *members
}

// plant finds roots and branches. order is topological.
func (p *planter) plant(order []int32) error {
	edges := p.num.owner
	if p.by == ByParent {
		edges = p.num.parent
	}
	p.down = p.num.reverse(edges)
	p.drawn = make([]bool, len(order))
	depth := make([]int, len(order))
	for _, i := range order {
		n := p.num.ns[i]
		if p.by == ByParent && n.Type != PID {
			continue
		}
		p.drawn[i] = true
		switch up := edges[i]; {
		case up >= 0:
			if depth[i] = depth[up] + 1; depth[i] > maxWalk {
				return fmt.Errorf("%s is deeper than the kernel nests, validate the graph first", n.Name())
			}
		case n.External && n.Type.HasParent():
			p.top = append(p.top, i)
		default:
			p.lost = append(p.lost, i)
		}
	}
	return nil
}

// shapes numbers the shapes of subtrees: the same for two that look alike but
// for names and numbers.
func (p *planter) shapes(order []int32) {
	numbers := make(interner)
	p.shape, p.size = make([]int32, len(order)), make([]int32, len(order))
	var key []byte
	for k := len(order) - 1; k >= 0; k-- {
		i := order[k]
		n := p.num.ns[i]
		var below []uint64
		p.size[i] = 1
		for _, j := range p.branches(i) {
			below = append(below, uint64(p.shape[j]))
			p.size[i] += p.size[j]
		}
		key = append(key[:0], byte(n.Type), byte(n.State), edgeKind(n), edgeKind(n.Parent), 0)
		if u := n.User; u != nil && len(u.UIDMap)+len(u.GIDMap) > 0 {
			key[4] = 1
		}
		if p.members.any[n] {
			key[4] |= 2
		}
		p.shape[i] = numbers.of(appendColours(key, below))
	}
}

func (p *planter) branches(i int32) []int32 {
	var list []int32
	for _, j := range p.down.of(i) {
		if p.drawn[j] {
			list = append(list, j)
		}
	}
	return list
}

// sorted puts siblings in the order in which they are drawn: user namespaces,
// which have things below them, last; those of one shape together.
func (p *planter) sorted(list []int32) []int32 {
	rank := func(i int32) int {
		if p.num.ns[i].Type == User {
			return 1
		}
		return 0
	}
	byNumber := func(i, j int32) int {
		return cmp.Or(cmp.Compare(rank(i), rank(j)), compareNumbers(p.num.ns[i], p.num.ns[j]))
	}
	list = slices.Clone(list)
	slices.SortFunc(list, byNumber)
	first := make(map[int32]int)
	for k, i := range list {
		if _, ok := first[p.shape[i]]; !ok {
			first[p.shape[i]] = k
		}
	}
	slices.SortStableFunc(list, func(i, j int32) int {
		return cmp.Compare(first[p.shape[i]], first[p.shape[j]])
	})
	return list
}

func (p *planter) twig(i int32) *twig {
	return &twig{ns: p.num.ns[i], below: p.twigs(p.branches(i))}
}

// twigs makes twigs of siblings: of external ones without branches one, and of
// many of one shape fewer.
func (p *planter) twigs(list []int32) []*twig {
	list = p.sorted(list)
	var out []*twig
	var external []string
	for len(list) > 0 {
		k := 1
		for k < len(list) && p.shape[list[k]] == p.shape[list[0]] {
			k++
		}
		alike := list[:k]
		list = list[k:]
		if n := p.num.ns[alike[0]]; n.External && n.Type != User && p.size[alike[0]] == 1 {
			external = append(external, n.Type.String())
			continue
		}
		out = append(out, p.alike(alike)...)
	}
	if len(external) > 0 {
		text := "external " + strings.Join(external, ", ")
		out = append([]*twig{{text: text, why: externalMark}}, out...)
	}
	return out
}

func (p *planter) alike(list []int32) []*twig {
	draw, fold := len(list), p.fold
	if fold == 0 {
		fold = 8
		if p.size[list[0]] > 1 {
			fold = 4
		}
	}
	if fold > 0 && draw > fold {
		draw = max(fold-1, 1)
	}
	var out []*twig
	for _, i := range list[:draw] {
		out = append(out, p.twig(i))
	}
	if rest := len(list) - draw; rest > 0 {
		text := fmt.Sprintf("… %d more like this", rest)
		if size := int(p.size[list[0]]); size > 1 {
			text += fmt.Sprintf(" (%d namespaces)", rest*size)
		}
		out = append(out, &twig{text: text, why: foldMark})
	}
	return out
}
