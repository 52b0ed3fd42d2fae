package topology

import (
	"errors"
	"fmt"
	"strings"
)

// Change is one of the changes that make one graph of another: a namespace or a
// task that was added, went, or is another way than it was.
type Change struct {
	// First is the namespace in the first graph, nil if it was added; Second
	// that in the second, nil if it went.
	First, Second *Namespace
	// FirstTask and SecondTask are the same of a task; then the namespaces
	// are nil.
	FirstTask, SecondTask *Task
	// Aspects says what is another way; none if it was added or went.
	Aspects []Aspect
	// Below lists what was added or went with the namespace: what it owned,
	// all the way down, and the children of a pid namespace.
	Below []*Namespace
	// Tasks is how many tasks were added or went with the namespace, if tasks
	// are compared.
	Tasks int
}

// DiffOptions says what [Diff] compares.
type DiffOptions struct {
	CompareOptions
	// Identity takes namespaces for the same if they are, and not if they
	// are alike: two looks at one host, within one boot of it.
	Identity bool
}

// ErrOtherBoot is returned, wrapped, when identities are asked for of graphs of
// two hosts, or of two boots of one.
var ErrOtherBoot = errors.New("not of the same boot: identities mean nothing across hosts and boots")

// Diff returns a small set of changes that make b of a, none if the two are the
// same topology in the sense of [Isomorphic]. It finds out which namespace of one
// is which of the other by their places, by what they hold and by what hangs on
// them; between two looks at one host in one boot by their ids first. Who is alike
// in all of these is taken for the same.
//
// To find the smallest set takes too long in general. The set is exact, in that
// the changes lead from a to b. One change between two graphs is told as one, as
// far as it can be seen to be one.
func Diff(a, b *Graph, o DiffOptions) ([]Change, error) {
	same := a.Header.BootID != "" && a.Header.BootID == b.Header.BootID
	if o.Identity && !same {
		return nil, fmt.Errorf("compare topologies: %w", ErrOtherBoot)
	}
	c, err := newComparison(a, b, o.CompareOptions)
	if err != nil {
		return nil, err
	}
	if !o.Identity {
		// So alike that it cannot be decided is a case for the pairing.
		if _, found, _ := c.search(); found {
			return nil, nil
		}
	}
	pair := func(movedFirst bool) []Change {
		p := newPairing(c)
		if same {
			p.identify()
		}
		if !o.Identity {
			p.pair(movedFirst)
		}
		return p.changes()
	}
	list := pair(false)
	if len(list) > 1 && c.sides[0].size()+c.sides[1].size() < maxTwice {
		if other := pair(true); steps(other) < steps(list) {
			list = other
		}
	}
	return list, nil
}

// maxTwice bounds the size of two graphs for which both ways of pairing are tried.
const maxTwice = 8000

// steps counts the respects in which there are changes.
func steps(list []Change) int {
	n := 0
	for _, c := range list {
		n += max(1, len(c.Aspects))
	}
	return n
}

// String returns one line: "uts:[7]: host name "a" → "b"".
func (c Change) String() string {
	what := func(n *Namespace, t *Task) string {
		if t != nil {
			return fmt.Sprintf("task %d (%s)", t.PID, printable(t.Comm))
		}
		return n.Name()
	}
	switch {
	case c.First == nil && c.FirstTask == nil:
		return "added " + what(c.Second, c.SecondTask) + c.where(c.Second, c.SecondTask)
	case c.Second == nil && c.SecondTask == nil:
		return "removed " + what(c.First, c.FirstTask) + c.where(c.First, c.FirstTask)
	}
	text := "changed " + what(c.First, c.FirstTask)
	if second := what(c.Second, c.SecondTask); second != what(c.First, c.FirstTask) {
		text += ", now " + second
	}
	var list []string
	for _, x := range c.Aspects {
		list = append(list, fmt.Sprintf("%s %s → %s", x.What, clip(x.First, 100), clip(x.Second, 100)))
	}
	return text + ": " + strings.Join(list, ", ")
}

// where says whose a namespace is and what came or went with it.
func (c Change) where(n *Namespace, t *Task) string {
	if t != nil {
		return ""
	}
	text := ", owned by " + endName(n.Owner)
	if n.Owner != nil && n.Owner.External {
		text = ", owned by the host"
	}
	if len(c.Below) == 0 && c.Tasks == 0 {
		return text
	}
	var list []string
	count := make(map[Type]int)
	for _, m := range c.Below {
		count[m.Type]++
	}
	for _, t := range Types {
		if count[t] > 0 {
			list = append(list, fmt.Sprintf("%d %s", count[t], t))
		}
	}
	if c.Tasks > 0 {
		list = append(list, fmt.Sprintf("%d tasks", c.Tasks))
	}
	return text + ", with " + strings.Join(list, ", ") + " below"
}
