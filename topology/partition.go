package topology

import (
	"cmp"
	"slices"
)

// partition is a division of the nodes of both sides into cells: nodes in
// different cells cannot correspond, nodes in one cell still may. It is refined
// until each cell is one node of each side, by the way in which colour
// refinement is done in n log n (Cardon and Crochemore): a cell splits the
// others by how many edges of each kind their nodes have into it, and of the
// parts of a cell all but the largest have to split in turn.
//
// Both sides have as many nodes in each cell, always: the same range of two
// arrays. So the parts of a cell are taken off its end, and put back in reverse
// order to undo a wrong guess.
type partition struct {
	nodes  int        // on each side; node i of the second is numbered nodes+i
	elems  [2][]int32 // the nodes, cell by cell
	pos    []int32    // of each node in elems
	cell   []int32    // of each node
	start  []int32    // of each cell in elems
	length []int32    // of each cell, per side
	from   []int32    // the cell of which each was a part
	neigh  [][]edge   // of each node, up and down
	queue  []int32    // cells that have yet to split others
	queued []bool
	open   []int32 // cells that have, or had, more than one node a side
	work   int     // edges looked at

	touched [2 * int(numLabels)][]int32
	counted []counted
	count   []int32
}

// counted is a node with a sort key: its cell, and its edges into the splitter.
type counted struct {
	key  uint64
	node int32
}

// maxWork bounds the search, in edges looked at: a second or two, and far more
// than ten thousand namespaces of any real kind need.
const maxWork = 50_000_000

// newPartition divides the nodes by their paint; nil where the two sides do not
// have as many of each.
func newPartition(c *comparison) *partition {
	n := c.sides[0].size()
	if n != c.sides[1].size() {
		return nil
	}
	p := &partition{
		nodes: n,
		pos:   make([]int32, 2*n), cell: make([]int32, 2*n), count: make([]int32, 2*n),
	}
	for i, s := range c.sides {
		p.elems[i] = make([]int32, n)
		for j := range p.elems[i] {
			p.elems[i][j] = int32(i*n + j)
		}
		slices.SortStableFunc(p.elems[i], func(x, y int32) int {
			return cmp.Compare(s.paint[int(x)-i*n], s.paint[int(y)-i*n])
		})
	}
	for k := range n {
		x, y := p.elems[0][k], p.elems[1][k]
		paint := c.sides[0].paint[x]
		if paint != c.sides[1].paint[int(y)-n] {
			return nil
		}
		if k == 0 || paint != c.sides[0].paint[p.elems[0][k-1]] {
			p.addCell(nowhere, int32(k))
		}
		last := int32(len(p.start) - 1)
		p.length[last]++
		p.pos[x], p.pos[y] = int32(k), int32(k)
		p.cell[x], p.cell[y] = last, last
	}
	for i := range p.start {
		p.enqueue(int32(i))
		p.noteOpen(int32(i))
	}
	p.connect(c)
	return p
}

// connect lists the edges of each node both ways; downward labels follow the
// upward ones.
func (p *partition) connect(c *comparison) {
	p.neigh = make([][]edge, 2*p.nodes)
	for i, s := range c.sides {
		base := int32(i * p.nodes)
		for j, up := range s.up {
			x := base + int32(j)
			for _, e := range up {
				y := base + e.to
				p.neigh[x] = append(p.neigh[x], edge{e.label, y})
				p.neigh[y] = append(p.neigh[y], edge{e.label + numLabels, x})
			}
		}
	}
}

func (p *partition) addCell(from, start int32) {
	p.start = append(p.start, start)
	p.length = append(p.length, 0)
	p.from = append(p.from, from)
	p.queued = append(p.queued, false)
}

func (p *partition) enqueue(c int32) {
	if !p.queued[c] {
		p.queued[c] = true
		p.queue = append(p.queue, c)
	}
}

func (p *partition) noteOpen(c int32) {
	if p.length[c] > 1 {
		p.open = append(p.open, c)
	}
}

func (p *partition) sideOf(node int32) int {
	if int(node) < p.nodes {
		return 0
	}
	return 1
}

// refine splits cells until none splits another. It reports false, with the
// queue empty, when a part would not have as many nodes on each side: then no
// mapping respects the cells as they are.
func (p *partition) refine() bool {
	for len(p.queue) > 0 {
		c := p.queue[len(p.queue)-1]
		p.queue = p.queue[:len(p.queue)-1]
		p.queued[c] = false
		if !p.splitBy(c) {
			for _, q := range p.queue {
				p.queued[q] = false
			}
			p.queue = p.queue[:0]
			return false
		}
	}
	return true
}

// splitBy splits all cells by their nodes' edges into c.
func (p *partition) splitBy(c int32) bool {
	for i := range p.touched {
		p.touched[i] = p.touched[i][:0]
	}
	lo, hi := p.start[c], p.start[c]+p.length[c]
	for _, elems := range p.elems {
		for _, x := range elems[lo:hi] {
			for _, e := range p.neigh[x] {
				p.touched[e.label] = append(p.touched[e.label], e.to)
			}
			p.work += len(p.neigh[x]) + 1
		}
	}
	for _, nodes := range p.touched {
		if len(nodes) > 0 && !p.splitByCount(nodes) {
			return false
		}
	}
	return true
}

// splitByCount splits the cells of nodes by how often each is among them.
func (p *partition) splitByCount(nodes []int32) bool {
	p.counted = p.counted[:0]
	for _, x := range nodes {
		if p.count[x]++; p.count[x] == 1 {
			p.counted = append(p.counted, counted{node: x})
		}
	}
	for i, x := range p.counted {
		p.counted[i].key = uint64(p.cell[x.node])<<32 | uint64(p.count[x.node])
		p.count[x.node] = 0
	}
	slices.SortFunc(p.counted, func(x, y counted) int {
		return cmp.Or(cmp.Compare(x.key, y.key), cmp.Compare(x.node, y.node))
	})
	for rest := p.counted; len(rest) > 0; {
		c := rest[0].key >> 32
		k := 1
		for k < len(rest) && rest[k].key>>32 == c {
			k++
		}
		if !p.splitCell(int32(c), rest[:k]) {
			return false
		}
		rest = rest[k:]
	}
	return true
}

// splitCell takes parts off cell c: the nodes in touched, by their keys. What
// is not in touched remains, or, where all is, the last part.
func (p *partition) splitCell(c int32, touched []counted) bool {
	all := len(touched) == 2*int(p.length[c])
	waiting, largest := p.queued[c], c
	first := int32(len(p.start))
	for len(touched) > 0 {
		k := 1
		for k < len(touched) && touched[k].key == touched[0].key {
			k++
		}
		part := touched[:k]
		touched = touched[k:]
		if !p.balanced(part) {
			return false
		}
		if all && len(touched) == 0 {
			break // the last part keeps the cell
		}
		p.takeOff(c, part)
	}
	// A cell that waits to split others must do so in all its parts; of any
	// other the largest part adds nothing to what the whole has already done.
	for d := first; d < int32(len(p.start)); d++ {
		if p.length[d] > p.length[largest] {
			largest = d
		}
	}
	for d := first; d < int32(len(p.start)); d++ {
		if waiting || d != largest {
			p.enqueue(d)
		}
	}
	if largest != c {
		p.enqueue(c)
	}
	return true
}

func (p *partition) balanced(part []counted) bool {
	n := 0
	for _, x := range part {
		n += 1 - 2*p.sideOf(x.node)
	}
	return n == 0
}

// takeOff makes a new cell at the end of c of a balanced part of it.
func (p *partition) takeOff(c int32, part []counted) {
	size := int32(len(part) / 2)
	d := int32(len(p.start))
	p.addCell(c, p.start[c]+p.length[c]-size)
	p.length[d] = size
	end := [2]int32{p.start[c] + p.length[c], p.start[c] + p.length[c]}
	for _, x := range part {
		s := p.sideOf(x.node)
		end[s]--
		p.swap(s, p.pos[x.node], end[s])
		p.cell[x.node] = d
	}
	p.length[c] -= size
	p.noteOpen(d)
}

func (p *partition) swap(s int, i, j int32) {
	e := p.elems[s]
	e[i], e[j] = e[j], e[i]
	p.pos[e[i]], p.pos[e[j]] = i, j
}

// undo puts cells back until there are n.
func (p *partition) undo(n int) {
	for d := int32(len(p.start) - 1); d >= int32(n); d-- {
		c := p.from[d]
		for _, elems := range p.elems {
			for _, x := range elems[p.start[d] : p.start[d]+p.length[d]] {
				p.cell[x] = c
			}
		}
		p.length[c] += p.length[d]
		p.noteOpen(c)
	}
	p.start, p.length = p.start[:n], p.length[:n]
	p.from, p.queued = p.from[:n], p.queued[:n]
}
