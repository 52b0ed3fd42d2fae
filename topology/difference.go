package topology

import (
	"fmt"
	"strings"
)

// Difference says why two graphs are not isomorphic: which namespaces and tasks
// of each have no counterpart in the other, so far as they can be singled out.
// It is the error of [Isomorphic].
type Difference struct { //nolint:errname // what differs is the point, that it is an error is not
	First, Second []Unmatched // owners before what they own
	More          int         // how many are not listed
}

// maxUnmatched bounds how many a [Difference] lists of each graph.
const maxUnmatched = 20

// Unmatched is a namespace or a task without a counterpart.
type Unmatched struct {
	Namespace *Namespace // nil for a task
	Task      *Task      // nil for a namespace
	Like      string     // the name of what comes closest in the other graph, if anything does
	Reason    string     // "owner is user:[5], not user:[9]"
}

// String returns a sentence without an end.
func (u Unmatched) String() string {
	var b strings.Builder
	switch {
	case u.Task != nil:
		fmt.Fprintf(&b, "task %d (%s)", u.Task.PID, u.Task.Comm)
	case u.Namespace.Owner != nil:
		fmt.Fprintf(&b, "%s (owner %s)", u.Namespace.Name(), u.Namespace.Owner.Name())
	default:
		b.WriteString(u.Namespace.Name())
	}
	b.WriteString(" has no counterpart")
	if u.Like != "" {
		fmt.Fprintf(&b, ", %s comes closest", u.Like)
	}
	return b.String() + ": " + u.Reason
}

// Error returns one line: the first that is unmatched, and how many more are.
func (d *Difference) Error() string {
	more := len(d.First) + len(d.Second) + d.More - 1
	var first string
	switch {
	case len(d.First) > 0:
		first = "of the first, " + d.First[0].String()
	case len(d.Second) > 0:
		first = "of the second, " + d.Second[0].String()
	default:
		return "topologies differ: alike part by part, but not put together alike"
	}
	if more > 0 {
		first += fmt.Sprintf(" (and %d more)", more)
	}
	return "topologies differ: " + first
}

// colours are numbers for the nodes of both sides. Each stage tells apart what
// the one before does, and more.
type colours [2][]int32

// explain finds the simplest respect in which the sides differ: what nodes are
// by themselves; what they hang on; what hangs on them; all of it. A difference
// in one node shows in all around it in a later stage, so the first stage with
// a difference is the one that names its place.
func (c *comparison) explain() *Difference {
	paint := colours{c.sides[0].paint, c.sides[1].paint}
	above := c.topDown(paint)
	below := c.bottomUp(above)
	whole := below
	for n := 0; ; {
		m := c.classes(whole)
		if m == n {
			break
		}
		n = m
		whole = c.bottomUp(c.topDown(whole))
	}
	x := &explanation{c: c, above: above, below: below, whole: whole}
	for i, stage := range []colours{paint, above, below, whole} {
		if lost := x.surplus(stage); len(lost[0])+len(lost[1]) > 0 {
			switch i {
			case 1:
				lost = x.causes(lost, c.upward)
			case 2, 3:
				lost = x.causes(lost, c.downward)
			}
			return x.describe(lost)
		}
	}
	return &Difference{}
}

func (c *comparison) classes(col colours) int {
	seen := make(map[int32]bool)
	for _, side := range col {
		for _, x := range side {
			seen[x] = true
		}
	}
	return len(seen)
}

// topDown refines colours by those of what a node hangs on.
func (c *comparison) topDown(col colours) colours {
	numbers := make(interner)
	var key []byte
	var out colours
	for i, s := range c.sides {
		out[i] = make([]int32, s.size())
		for j := range out[i] {
			key = appendColour(key[:0], 0, col[i][j])
			for _, e := range s.up[j] {
				key = appendColour(key, e.label, out[i][e.to])
			}
			out[i][j] = numbers.of(key)
		}
	}
	return out
}

// bottomUp refines colours by those of what hangs on a node.
func (c *comparison) bottomUp(col colours) colours {
	numbers := make(interner)
	var key []byte
	var out colours
	for i, s := range c.sides {
		out[i] = make([]int32, s.size())
		down := c.downward(s)
		for j := s.size() - 1; j >= 0; j-- {
			list := make([]uint64, len(down[j]))
			for k, e := range down[j] {
				list[k] = uint64(e.label)<<32 | uint64(out[i][e.to])
			}
			key = appendColours(appendColour(key[:0], 0, col[i][j]), list)
			out[i][j] = numbers.of(key)
		}
	}
	return out
}

func (c *comparison) upward(s *side) [][]edge { return s.up }

// downward lists the edges of a side the other way round.
func (c *comparison) downward(s *side) [][]edge {
	down := make([][]edge, s.size())
	for j, up := range s.up {
		for _, e := range up {
			down[e.to] = append(down[e.to], edge{e.label, int32(j)})
		}
	}
	return down
}

// explanation singles out nodes without counterparts and says what is amiss.
type explanation struct {
	c                   *comparison
	above, below, whole colours
}

// surplus returns the nodes of each side that its classes have more of than
// the other side's. Of several in a class those are kept that finer stages
// tell from all of the other side.
func (x *explanation) surplus(stage colours) [2][]int {
	matched := [2][]bool{make([]bool, len(stage[0])), make([]bool, len(stage[1]))}
	for _, finer := range []colours{x.whole, x.below, x.above, stage} {
		type class struct{ stage, finer int32 }
		waiting := make(map[class][]int)
		for j := range stage[1] {
			if !matched[1][j] {
				k := class{stage[1][j], finer[1][j]}
				waiting[k] = append(waiting[k], j)
			}
		}
		for i := range stage[0] {
			if matched[0][i] {
				continue
			}
			k := class{stage[0][i], finer[0][i]}
			if w := waiting[k]; len(w) > 0 {
				matched[0][i], matched[1][w[0]] = true, true
				waiting[k] = w[1:]
			}
		}
	}
	var out [2][]int
	for i := range matched {
		for j, ok := range matched[i] {
			if !ok {
				out[i] = append(out[i], j)
			}
		}
	}
	return out
}

// causes drops the nodes that an edge leads from to another one in the list:
// they differ because that one does.
func (x *explanation) causes(lost [2][]int, edges func(*side) [][]edge) [2][]int {
	var out [2][]int
	for i, list := range lost {
		in := make(map[int32]bool, len(list))
		for _, j := range list {
			in[int32(j)] = true
		}
		lead := edges(x.c.sides[i])
	nodes:
		for _, j := range list {
			for _, e := range lead[j] {
				if in[e.to] {
					continue nodes
				}
			}
			out[i] = append(out[i], j)
		}
	}
	return out
}
