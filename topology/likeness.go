package topology

import (
	"cmp"
	"slices"
)

// maxCandidates bounds to how many nodes one is compared, and maxPairs how many
// comparisons there are in one group: two large graphs that have little in common
// take no longer than two that have much.
const (
	maxCandidates = 16
	maxPairs      = 20000
)

// bag returns the colours of all that hangs on a node, directly or not, sorted.
// The kernel's depth bounds their number.
func (p *pairing) bag(side int, j int32) []int32 {
	if b, ok := p.bags[side][j]; ok {
		return b
	}
	seen := map[int32]bool{j: true}
	bag := []int32{}
	for todo := []int32{j}; len(todo) > 0; {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, e := range p.down[side][at] {
			if !seen[e.to] {
				seen[e.to] = true
				bag = append(bag, p.own[side][e.to])
				todo = append(todo, e.to)
			}
		}
	}
	slices.Sort(bag)
	p.bags[side][j] = bag
	return bag
}

// likeness compares all that hangs on two nodes: how much both have, and how much
// only one has.
func (p *pairing) likeness(i, j int32) (common, apart int) {
	return inCommon(p.bag(0, i), p.bag(1, j))
}

// inCommon counts what two sorted lists have in common, and what only one has.
func inCommon(a, b []int32) (common, apart int) {
	total := len(a) + len(b)
	for len(a) > 0 && len(b) > 0 {
		switch c := cmp.Compare(a[0], b[0]); {
		case c < 0:
			a = a[1:]
		case c > 0:
			b = b[1:]
		default:
			a, b, common = a[1:], b[1:], common+1
		}
	}
	return common, total - 2*common
}

// alike reports whether two nodes have at least half in common of what hangs on
// them, and anything at all.
func (p *pairing) alike(i, j int32) bool {
	common, _ := p.likeness(i, j)
	return common > 0 && 2*common >= max(len(p.bag(0, i)), len(p.bag(1, j)))
}

// children returns the colours of what hangs on a node directly, sorted. What
// does so in two ways is there once.
func (p *pairing) children(side int, j int32) []int32 {
	var list []int32
	last := nowhere
	for _, e := range p.down[side][j] {
		if e.to != last { // the edges from one node stand together
			list = append(list, p.sub[side][e.to])
		}
		last = e.to
	}
	slices.Sort(list)
	return list
}

// couple is two nodes that may be the same.
type couple struct {
	i, j   int32
	own    int // what tells themselves apart
	cost   int // and what hangs on them
	common int // what hangs on both
}

// weigh fills in how alike a couple is.
func (p *pairing) weigh(c couple) couple {
	common, apart := inCommon(p.children(0, c.i), p.children(1, c.j))
	if p.own[0][c.i] != p.own[1][c.j] {
		c.own = 2 * len(p.aspects(c.i, c.j))
	}
	c.cost = c.own + apart
	further, _ := p.likeness(c.i, c.j)
	c.common = common + further
	return c
}

// mostAlike pairs nodes of a group that may be the same, those first that are
// most alike.
func (p *pairing) mostAlike(g *group, may func(couple) bool) {
	var couples []couple
	for _, c := range p.candidates(g) {
		if c = p.weigh(c); may(c) {
			couples = append(couples, c)
		}
	}
	slices.SortStableFunc(couples, func(a, b couple) int {
		return cmp.Or(cmp.Compare(a.cost-a.common, b.cost-b.common), cmp.Compare(b.common, a.common))
	})
	for _, c := range couples {
		if p.partner[0][c.i] == nowhere && p.partner[1][c.j] == nowhere {
			p.join(c.i, c.j)
		}
	}
}

// candidates lists couples of a group: all, or of a large group those that have
// something in common, and those that come at the same place in both lists.
func (p *pairing) candidates(g *group) []couple {
	var list []couple
	if len(g[0])*len(g[1]) <= maxPairs {
		for _, i := range g[0] {
			for _, j := range g[1] {
				list = append(list, couple{i: i, j: j})
			}
		}
		return list
	}
	with := make(map[int32][]int32)
	for _, j := range g[1] {
		for _, e := range p.down[1][j] {
			if c := p.sub[1][e.to]; len(with[c]) < maxCandidates {
				with[c] = append(with[c], j)
			}
		}
	}
	for k, i := range g[0] {
		for _, e := range p.down[0][i] {
			for _, j := range with[p.sub[0][e.to]] {
				list = append(list, couple{i: i, j: j})
			}
		}
		if k < len(g[1]) {
			list = append(list, couple{i: i, j: g[1][k]})
		}
	}
	return list
}

// moved pairs nodes that are the same with all that hangs on them, but hang on
// something else: the largest of them. It reports whether there were any.
func (p *pairing) moved(may func(i, j int32, only bool) bool) bool {
	var waiting [2]map[int32][]int32
	for side := range waiting {
		waiting[side] = make(map[int32][]int32)
		for j, partner := range p.partner[side] {
			if partner == nowhere {
				waiting[side][p.sub[side][j]] = append(waiting[side][p.sub[side][j]], int32(j))
			}
		}
	}
	bySize := make(map[int][]couple)
	largest := -1
	for i, partner := range p.partner[0] {
		list := waiting[1][p.sub[0][i]]
		if partner != nowhere || len(list) == 0 {
			continue
		}
		only := len(list) == 1 && len(waiting[0][p.sub[0][i]]) == 1
		for _, j := range list[:min(len(list), maxCandidates)] {
			if may(int32(i), j, only) {
				size := len(p.bag(0, int32(i)))
				largest = max(largest, size)
				bySize[size] = append(bySize[size], couple{i: int32(i), j: j, common: p.shared(int32(i), j)})
			}
		}
	}
	couples := bySize[largest]
	slices.SortStableFunc(couples, func(a, b couple) int { return cmp.Compare(b.common, a.common) })
	for _, c := range couples {
		if p.partner[0][c.i] == nowhere && p.partner[1][c.j] == nowhere {
			p.join(c.i, c.j)
		}
	}
	return len(couples) > 0
}

// unmistakable reports whether two nodes, which are the same with all that hangs
// on them, are so by no accident.
func (p *pairing) unmistakable(i, _ int32, only bool) bool { return only && len(p.down[0][i]) > 0 }

// settled reports whether two nodes hang on what was there before and is there
// still: what went as a whole has not moved, bit by bit, to what was added.
func (p *pairing) settled(i, j int32, _ bool) bool {
	for side, j := range [2]int32{i, j} {
		for _, e := range p.c.sides[side].up[j] {
			if p.partner[side][e.to] == nowhere {
				return false
			}
		}
	}
	return true
}

// shared counts the edges of two nodes that lead to the same.
func (p *pairing) shared(i, j int32) int {
	n := 0
	for _, e := range p.c.sides[0].up[i] {
		to := p.partner[0][e.to]
		if to != nowhere && slices.Contains(p.c.sides[1].up[j], edge{e.label, to}) {
			n++
		}
	}
	return n
}

// alikeElsewhere pairs nodes that hang on something else and have more or less
// hanging on them. It reports whether there were any.
func (p *pairing) alikeElsewhere() bool {
	groups := make(map[int32]*group)
	var order []int32
	for side := range p.partner {
		for j, partner := range p.partner[side] {
			if partner != nowhere || len(p.down[side][j]) == 0 {
				continue
			}
			c := p.own[side][j]
			if groups[c] == nil {
				groups[c] = &group{}
				order = append(order, c)
			}
			groups[c][side] = append(groups[c][side], int32(j))
		}
	}
	done := false
	for _, c := range order {
		g := groups[c]
		before := len(g[0])
		p.mostAlike(g, func(c couple) bool { return p.alike(c.i, c.j) })
		g.drop(p)
		done = done || len(g[0]) < before
	}
	return done
}
