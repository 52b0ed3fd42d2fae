package topology

import "slices"

// guess is a pair taken to correspond, in a cell of several.
type guess struct {
	cells int   // how many there were before
	node  int32 // of the first side
	left  []int32
	tried bool // left is filled in
}

// search narrows a refined partition down to single pairs: where a cell has
// several nodes a side, it takes two for a pair, refines, and goes back where
// that contradicts. Alike siblings, and whole containers, are interchangeable,
// and the first guess is right; it goes wrong only where pid namespaces and
// tasks tie branches of user namespaces together crosswise.
//
// decided is false when it was given up.
func (p *partition) search() (found, decided bool) {
	var guesses []guess
	for {
		c := p.widest()
		if c == nowhere {
			return true, true
		}
		at := p.start[c]
		guesses = append(guesses, guess{cells: len(p.start), node: p.elems[0][at]})
		ok := p.try(p.elems[0][at], p.elems[1][at])
		for !ok {
			if p.work > maxWork {
				return false, false
			}
			if len(guesses) == 0 {
				return false, true
			}
			g := &guesses[len(guesses)-1]
			first := p.partner(g.node)
			p.undo(g.cells)
			if !g.tried {
				g.tried = true
				g.left = p.others(g.node, first)
			}
			if len(g.left) == 0 {
				guesses = guesses[:len(guesses)-1]
				continue
			}
			next := g.left[0]
			g.left = g.left[1:]
			ok = p.try(g.node, next)
		}
	}
}

// widest returns a cell with several nodes a side, one made lately for choice:
// it belongs to what the last guess was about. Nowhere, if there is none.
func (p *partition) widest() int32 {
	for len(p.open) > 0 {
		c := p.open[len(p.open)-1]
		if int(c) < len(p.start) && p.length[c] > 1 {
			return c
		}
		p.open = p.open[:len(p.open)-1]
	}
	return nowhere
}

// try makes a pair of two nodes of one cell and refines.
func (p *partition) try(x, y int32) bool {
	p.takeOff(p.cell[x], []counted{{node: x}, {node: y}})
	p.enqueue(int32(len(p.start) - 1))
	return p.refine()
}

// partner returns the node of the second side that x is paired with.
func (p *partition) partner(x int32) int32 { return p.elems[1][p.start[p.cell[x]]] }

// others returns the nodes of the second side that x may correspond to, less
// the one that was tried.
func (p *partition) others(x, tried int32) []int32 {
	c := p.cell[x]
	list := slices.Clone(p.elems[1][p.start[c] : p.start[c]+p.length[c]])
	p.work += len(list)
	return slices.DeleteFunc(list, func(y int32) bool { return y == tried })
}

// pairs returns, for each node of the first side, the one of the second, when
// all cells are single pairs.
func (p *partition) pairs() []int32 {
	out := make([]int32, p.nodes)
	for x := range out {
		out[x] = p.partner(int32(x)) - int32(p.nodes)
	}
	return out
}
