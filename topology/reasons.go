package topology

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

func appendColour(b []byte, l label, colour int32) []byte {
	return binary.AppendUvarint(append(b, byte(l)), uint64(colour))
}

func appendColours(b []byte, list []uint64) []byte {
	slices.Sort(list)
	for _, v := range list {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

// describe turns unmatched nodes into sentences.
func (x *explanation) describe(lost [2][]int) *Difference {
	d := &Difference{}
	for which, out := range [2]*[]Unmatched{&d.First, &d.Second} {
		others := lost[1-which]
		used := make(map[int]bool)
		for k, i := range lost[which] {
			if k == maxUnmatched {
				d.More += len(lost[which]) - k
				break
			}
			j, reasons := x.closest(which, i, others, used)
			u := x.unmatched(which, i)
			if j >= 0 {
				used[j] = true
				u.Like = x.c.sides[1-which].nodeName(j)
				u.Reason = strings.Join(reasons, "; ")
			} else {
				u.Reason = x.count(which, i)
			}
			*out = append(*out, u)
		}
	}
	return d
}

func (x *explanation) unmatched(which, i int) Unmatched {
	s := x.c.sides[which]
	if i < len(s.ns) {
		return Unmatched{Namespace: s.ns[i]}
	}
	return Unmatched{Task: s.tasks[i-len(s.ns)]}
}

// closest finds the node of others that differs least from node i. It looks at
// a bounded number, so that two graphs with nothing in common take no longer.
func (x *explanation) closest(which, i int, others []int, used map[int]bool) (int, []string) {
	best, bestReasons := -1, []string(nil)
	looked := 0
	for _, j := range others {
		if used[j] || !x.sameKind(which, i, j) {
			continue
		}
		if looked++; looked > 500 {
			break
		}
		reasons := x.reasons(which, i, j)
		if best < 0 || len(reasons) < len(bestReasons) {
			best, bestReasons = j, reasons
		}
	}
	return best, bestReasons
}

func (x *explanation) sameKind(which, i, j int) bool {
	a, b := x.unmatched(which, i), x.unmatched(1-which, j)
	if a.Namespace == nil || b.Namespace == nil {
		return a.Namespace == b.Namespace
	}
	return a.Namespace.Type == b.Namespace.Type
}

// count is the reason when there is nothing to compare with.
func (x *explanation) count(which, i int) string {
	u := x.unmatched(which, i)
	if u.Task != nil {
		return fmt.Sprintf("%d tasks here, %d there", len(x.c.sides[which].tasks), len(x.c.sides[1-which].tasks))
	}
	n := func(s *side) (n int) {
		for _, o := range s.ns {
			if o.Type == u.Namespace.Type {
				n++
			}
		}
		return n
	}
	here, there := n(x.c.sides[which]), n(x.c.sides[1-which])
	if here != there {
		return fmt.Sprintf("%d %s namespaces here, %d there", here, u.Namespace.Type, there)
	}
	return "none there is like it"
}

// reasons lists in what node i of one side differs from node j of the other:
// by itself and in what it hangs on; if not there, in what hangs on it; and if
// not there either, in what the things it hangs on hold.
func (x *explanation) reasons(which, i, j int) []string {
	a, b := x.unmatched(which, i), x.unmatched(1-which, j)
	r := &reasonList{}
	if a.Namespace != nil {
		r.namespaces(a.Namespace, b.Namespace, x.c.o)
	} else {
		r.tasks(a.Task, b.Task)
	}
	x.edges(r, which, a, b, x.above)
	if len(*r) == 0 {
		x.holdings(r, which, i, j)
	}
	if len(*r) == 0 {
		x.edges(r, which, a, b, x.whole)
	}
	if len(*r) == 0 {
		r.add("what is around it differs further off")
	}
	return *r
}

// edges compares where the edges of two namespaces or tasks lead, as far as
// the colours tell.
func (x *explanation) edges(r *reasonList, which int, a, b Unmatched, col colours) {
	if a.Namespace != nil {
		x.edge(r, which, "owner", a.Namespace.Owner, b.Namespace.Owner, col)
		if a.Namespace.Type != User {
			x.edge(r, which, "parent", a.Namespace.Parent, b.Namespace.Parent, col)
		}
		return
	}
	for l := range a.Task.Namespaces {
		if !x.c.o.IgnoreTime || Link(l).Type() != Time {
			x.edge(r, which, Link(l).String(), a.Task.Namespaces[l], b.Task.Namespaces[l], col)
		}
	}
}

func (x *explanation) edge(r *reasonList, which int, what string, a, b *Namespace, col colours) {
	i, inside := x.c.sides[which].at[a]
	j, otherInside := x.c.sides[1-which].at[b]
	switch {
	case inside && otherInside:
		if col[which][i] != col[1-which][j] {
			r.add("%s is %s, not %s", what, a.Name(), b.Name())
		}
	case inside != otherInside || edgeKind(a) != edgeKind(b):
		r.add("%s is %s, not %s", what, endName(a), endName(b))
	}
}

func endName(n *Namespace) string {
	switch {
	case n == nil:
		return "out of sight"
	case n.External:
		return "external"
	}
	return n.Name()
}

// tasks adds what two tasks differ in by themselves.
func (r *reasonList) tasks(a, b *Task) {
	var l aspects
	l.tasks(a, b)
	for _, x := range l {
		r.text(x.What, x.First, x.Second)
	}
}

// holdings compares what hangs on two nodes that are alike otherwise.
func (x *explanation) holdings(r *reasonList, which, i, j int) {
	var text [2]string
	for k, node := range [2]int{i, j} {
		s := x.c.sides[(which+k)%2]
		counts := make(map[string]int)
		for _, e := range x.c.downward(s)[node] {
			switch {
			case int(e.to) >= len(s.ns):
				counts["tasks"]++
			case e.label != parentLabel || s.ns[e.to].Type != User: // owned is enough
				counts[s.ns[e.to].Type.String()]++
			}
		}
		var list []string
		for what, n := range counts {
			list = append(list, fmt.Sprintf("%d %s", n, what))
		}
		slices.Sort(list)
		text[k] = strings.Join(list, ", ")
		if text[k] == "" {
			text[k] = "nothing"
		}
	}
	r.text("what it holds", text[0], text[1])
}

type reasonList []string

func (r *reasonList) add(format string, args ...any) { *r = append(*r, fmt.Sprintf(format, args...)) }

// text adds a difference of two values, if there is one.
func (r *reasonList) text(what, a, b string) {
	if a != b {
		r.add("%s is %s, not %s", what, clip(a, 100), clip(b, 100))
	}
}

// namespaces adds what two namespaces of one type differ in by themselves.
func (r *reasonList) namespaces(a, b *Namespace, o CompareOptions) {
	for _, x := range aspectsOf(a, b, o) {
		r.text(x.What, x.First, x.Second)
	}
}

// String returns the offset in seconds: 86400, -0.5.
func (o Offset) String() string {
	sec, nsec, sign := o.Sec, int64(o.Nsec), ""
	if sec < 0 && nsec > 0 { // the fraction counts upwards
		sec, nsec = sec+1, 1e9-nsec
	}
	if o.Sec < 0 {
		sign = "-"
		sec = -sec
	}
	if nsec == 0 {
		return fmt.Sprintf("%s%d", sign, sec)
	}
	return strings.TrimRight(fmt.Sprintf("%s%d.%09d", sign, sec, nsec), "0")
}
