package topology

import (
	"encoding/binary"
	"slices"
)

// pairing finds out which node of one graph is which of another, where the two
// differ. It goes down from the top: nodes can be paired once those that they
// hang on are, and if they hang on the same; among several such, those that are
// most alike first. Then it looks for what has moved, and at last pairs what is
// left and alike enough. After each of these steps it goes down again.
type pairing struct {
	c       *comparison
	partner [2][]int32 // of each node; nowhere if there is none yet
	level   [2][]int32 // how many edges a node is below the top, at most
	down    [2][][]edge
	own     colours   // of what a node is without its edges
	sub     colours   // of it and what hangs on it
	context []colours // of both and what is around it, from far to near
	bags    [2]map[int32][]int32
}

// maxContext is how far around a node is looked.
const maxContext = 6

func newPairing(c *comparison) *pairing {
	p := &pairing{c: c}
	for i, s := range c.sides {
		p.partner[i] = make([]int32, s.size())
		for j := range p.partner[i] {
			p.partner[i][j] = nowhere
		}
		p.level[i] = make([]int32, s.size())
		for j, up := range s.up {
			for _, e := range up {
				p.level[i][j] = max(p.level[i][j], p.level[i][e.to]+1)
			}
		}
		p.down[i] = c.downward(s)
		p.bags[i] = make(map[int32][]int32)
	}
	p.colour()
	return p
}

// colour fills in the colours.
func (p *pairing) colour() {
	numbers := make(interner)
	var key []byte
	for i, s := range p.c.sides {
		p.own[i] = make([]int32, s.size())
		for j, n := range s.ns {
			key = appendState(key[:0], n, p.c.o)
			p.own[i][j] = numbers.of(key)
		}
		for j, t := range s.tasks {
			key = binary.AppendUvarint(append(key[:0], 't', flag(t.thread())), uint64(len(t.NSPID)))
			p.own[i][len(s.ns)+j] = numbers.of(key)
		}
	}
	p.sub = p.c.bottomUp(p.own)
	// Each look sees a step further, and what has changed puts off only those
	// that see it.
	around := colours{p.c.sides[0].paint, p.c.sides[1].paint}
	whole := p.c.bottomUp(around)
	var near, far []colours
	for range maxContext {
		near = append(near, p.combine(whole, around))
		around = p.look(around)
		far = append(far, around)
	}
	slices.Reverse(near)
	slices.Reverse(far)
	p.context = append(append(near, far[:maxContext-1]...), p.sub)
}

// combine returns colours that are the same where both are.
func (p *pairing) combine(a, b colours) colours {
	numbers := make(map[[2]int32]int32)
	var out colours
	for side := range out {
		out[side] = make([]int32, len(a[side]))
		for j := range out[side] {
			k := [2]int32{a[side][j], b[side][j]}
			n, ok := numbers[k]
			if !ok {
				n = int32(len(numbers))
				numbers[k] = n
			}
			out[side][j] = n
		}
	}
	return out
}

// look refines colours by those next to each node.
func (p *pairing) look(col colours) colours {
	numbers := make(interner)
	var key []byte
	var list []uint64
	var out colours
	for i, s := range p.c.sides {
		out[i] = make([]int32, s.size())
		for j := range out[i] {
			key = appendColour(key[:0], 0, col[i][j])
			for _, e := range s.up[j] {
				key = appendColour(key, e.label, col[i][e.to])
			}
			list = list[:0]
			for _, e := range p.down[i][j] {
				list = append(list, uint64(e.label)<<32|uint64(col[i][e.to]))
			}
			out[i][j] = numbers.of(appendColours(append(key, 0), list))
		}
	}
	return out
}

func (p *pairing) join(x, y int32) {
	p.partner[0][x], p.partner[1][y] = y, x
}

// identify pairs the namespaces that are the same, and the tasks.
func (p *pairing) identify() {
	seen := make(map[identity]int32)
	for j, n := range p.c.sides[1].ns {
		seen[identityOf(n)] = int32(j)
	}
	for i, n := range p.c.sides[0].ns {
		if j, ok := seen[identityOf(n)]; ok && p.partner[1][j] == nowhere {
			p.join(int32(i), j)
		}
	}
	type task struct {
		pid, tid int
		comm     string
	}
	tasks := make(map[task]int32)
	for j, t := range p.c.sides[1].tasks {
		tasks[task{t.PID, t.TID, t.Comm}] = int32(len(p.c.sides[1].ns) + j)
	}
	for i, t := range p.c.sides[0].tasks {
		if j, ok := tasks[task{t.PID, t.TID, t.Comm}]; ok && p.partner[1][j] == nowhere {
			p.join(int32(len(p.c.sides[0].ns)+i), j)
		}
	}
}

// pair pairs what can be. Which order of the steps comes to the smallest set of
// changes depends on what has changed; movedFirst is one of two.
func (p *pairing) pair(movedFirst bool) {
	moved := func() bool { return p.moved(p.unmistakable) }
	near := func() bool { return p.descend(p.costing(2)) }
	if movedFirst {
		moved, near = near, moved
	}
	steps := []func() bool{
		func() bool { return p.descend(p.sameAround) },
		func() bool { return p.descend(p.costing(1)) },
		near,
		moved,
		func() bool { return p.moved(p.settled) },
		func() bool { return p.descend(p.costing(4)) },
		func() bool { return p.descend(p.alikeInPlace(4)) },
		p.alikeElsewhere,
		func() bool { return p.descend(p.alikeInPlace(8)) },
	}
	for at := 0; at < len(steps); at++ {
		if steps[at]() {
			at = -1 // what could not be told apart before may be now
		}
	}
}

// descend pairs nodes whose places are the same, from above. It reports whether
// there were any.
func (p *pairing) descend(pair func(*group)) bool {
	var deepest int32
	for _, l := range p.level[0] {
		deepest = max(deepest, l)
	}
	done := false
	for level := int32(0); level <= deepest; level++ {
		for _, g := range p.places(level) {
			before := len(g[0])
			pair(g)
			g.drop(p)
			done = done || len(g[0]) < before
		}
	}
	return done
}

// sameAround pairs nodes in one place that are the same with what is around them.
func (p *pairing) sameAround(g *group) {
	for _, colours := range p.context {
		g.by(p, colours)
	}
}

// costing pairs nodes in one place that differ in no more than so much: in what
// hangs on them, and twice as dear, in themselves.
func (p *pairing) costing(most int) func(*group) {
	return func(g *group) {
		p.mostAlike(g, func(c couple) bool { return c.cost <= most })
	}
}

// alikeInPlace pairs nodes in one place that have changed in what hangs on them,
// and so much at most in themselves.
func (p *pairing) alikeInPlace(most int) func(*group) {
	return func(g *group) {
		p.mostAlike(g, func(c couple) bool {
			return c.own <= most && (p.alike(c.i, c.j) || len(p.bag(0, c.i))+len(p.bag(1, c.j)) <= 1)
		})
	}
}

// group is what hangs on the same, and so may be the same, of both sides.
type group [2][]int32

// places groups the nodes without partners of which all that they hang on have
// one. Those of the first side are on the level.
func (p *pairing) places(level int32) []*group {
	numbers := make(interner)
	var groups []*group
	var key []byte
	for side := range p.partner {
		for j, partner := range p.partner[side] {
			if partner != nowhere || (side == 0 && p.level[0][j] != level) || p.placeLevel(side, int32(j)) != level {
				continue
			}
			key = p.place(key[:0], side, int32(j))
			if side == 1 {
				if i, known := numbers[string(key)]; known {
					groups[i][1] = append(groups[i][1], int32(j))
				}
				continue
			}
			i := numbers.of(key)
			if int(i) == len(groups) {
				groups = append(groups, &group{})
			}
			groups[i][0] = append(groups[i][0], int32(j))
		}
	}
	return groups
}

// placeLevel returns the level of a node's place on the first side, or nowhere if
// something that it hangs on has no partner.
func (p *pairing) placeLevel(side int, j int32) int32 {
	level := int32(0)
	for _, e := range p.c.sides[side].up[j] {
		first := p.partner[side][e.to]
		if first == nowhere {
			return nowhere
		}
		if side == 0 {
			first = e.to
		}
		level = max(level, p.level[0][first]+1)
	}
	return level
}

// place appends what a node hangs on, as the first side numbers it. All of that has
// partners.
func (p *pairing) place(key []byte, side int, j int32) []byte {
	s := p.c.sides[side]
	if int(j) < len(s.ns) {
		n := s.ns[j]
		key = append(key, byte(n.Type), edgeKind(n.Owner), edgeKind(n.Parent))
	} else {
		key = append(key, 't')
		for l, n := range s.tasks[int(j)-len(s.ns)].Namespaces {
			if !p.c.o.IgnoreTime || Link(l).Type() != Time {
				key = append(key, edgeKind(n))
			}
		}
	}
	for _, e := range s.up[j] {
		to := e.to
		if side == 1 {
			to = p.partner[side][to]
		}
		key = appendColour(key, e.label, to)
	}
	return key
}

// by pairs the nodes of a group that have the same colour, in order.
func (g *group) by(p *pairing, c colours) {
	waiting := make(map[int32][]int32)
	for _, j := range g[1] {
		if p.partner[1][j] == nowhere {
			waiting[c[1][j]] = append(waiting[c[1][j]], j)
		}
	}
	for _, i := range g[0] {
		if w := waiting[c[0][i]]; len(w) > 0 && p.partner[0][i] == nowhere {
			p.join(i, w[0])
			waiting[c[0][i]] = w[1:]
		}
	}
}

// drop forgets those that have partners.
func (g *group) drop(p *pairing) {
	for side := range g {
		g[side] = slices.DeleteFunc(g[side], func(j int32) bool { return p.partner[side][j] != nowhere })
	}
}

// aspects compares what two nodes are without their edges.
func (p *pairing) aspects(i, j int32) aspects {
	a, b := p.c.sides[0], p.c.sides[1]
	if int(i) < len(a.ns) {
		return aspectsOf(a.ns[i], b.ns[j], p.c.o)
	}
	t, u := a.tasks[int(i)-len(a.ns)], b.tasks[int(j)-len(b.ns)]
	var l aspects
	l.tasks(t, u)
	return l
}
