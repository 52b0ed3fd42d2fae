package topology

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// randomSides returns two sides of one random graph, the second in another
// order: edges go to nodes before, up to three from each node; or one, which
// makes trees, and leaves many nodes alike.
func randomSides(rng *rand.Rand) *comparison {
	n := 5 + rng.IntN(60)
	a, b := &side{ns: make([]*Namespace, n)}, &side{ns: make([]*Namespace, n)}
	a.up, b.up = make([][]edge, n), make([][]edge, n)
	twin, most := rng.Perm(n), 1+2*rng.IntN(2)
	for i := 1; i < n; i++ {
		for l := range 1 + rng.IntN(most) {
			j := rng.IntN(min(i, 4+n/4))
			a.up[i] = append(a.up[i], edge{label(l), int32(j)})
			b.up[twin[i]] = append(b.up[twin[i]], edge{label(l), int32(twin[j])})
		}
	}
	a.paint, b.paint = make([]int32, n), make([]int32, n)
	return &comparison{sides: [2]*side{a, b}}
}

// profile counts the edges of node x into each cell, by label and direction.
func (p *partition) profile(x int32) map[[2]int32]int {
	m := make(map[[2]int32]int)
	for _, e := range p.neigh[x] {
		m[[2]int32{int32(e.label), p.cell[e.to]}]++
	}
	return m
}

// TestRefineIsEquitable: after refinement all nodes of a cell have as many
// edges of each kind into each cell, and the cells are no finer than the naive
// way makes them; a guess undone leaves things as they were.
func TestRefineIsEquitable(t *testing.T) {
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 40))
		c := randomSides(rng)
		p := newPartition(c)
		if p == nil || !p.refine() {
			t.Fatalf("seed %d: two sides of one graph are told apart", seed)
		}
		p.checkEquitable(t, seed)
		if want, got := naiveCells(p), len(p.start); got != want {
			t.Fatalf("seed %d: %d cells, want %d", seed, got, want)
		}
		before := slices.Clone(p.cell)
		if open := p.widest(); open != nowhere {
			cells, at := len(p.start), p.start[open]
			if p.try(p.elems[0][at], p.elems[1][at]) {
				p.checkEquitable(t, seed)
			}
			p.undo(cells)
		}
		if !slices.Equal(before, p.cell) {
			t.Fatalf("seed %d: undo does not", seed)
		}
	}
}

func (p *partition) checkEquitable(t *testing.T, seed uint64) {
	t.Helper()
	for c := range p.start {
		var first map[[2]int32]int
		for _, elems := range p.elems {
			for _, x := range elems[p.start[c] : p.start[c]+p.length[c]] {
				if p.cell[x] != int32(c) {
					t.Fatalf("seed %d: node %d is in cell %d and in %d", seed, x, c, p.cell[x])
				}
				profile := p.profile(x)
				if first == nil {
					first = profile
				}
				if !equalProfiles(first, profile) {
					t.Fatalf("seed %d: cell %d has nodes with edges %v and %v", seed, c, first, profile)
				}
			}
		}
	}
}

func equalProfiles(a, b map[[2]int32]int) bool {
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return len(a) == len(b)
}

// naiveCells counts the classes when all nodes start in one and are told apart
// by their neighbours' classes, again and again.
func naiveCells(p *partition) int {
	class := make([]int32, 2*p.nodes)
	for n := 1; ; {
		in := make(interner)
		next := make([]int32, len(class))
		for x := range class {
			var near []uint64
			for _, e := range p.neigh[x] {
				near = append(near, uint64(e.label)<<32|uint64(class[e.to]))
			}
			next[x] = in.of(appendColours(appendColour(nil, 0, class[x]), near))
		}
		class = next
		if len(in) == n {
			return n
		}
		n = len(in)
	}
}
