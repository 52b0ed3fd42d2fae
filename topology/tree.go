package topology

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
)

// TreeEdge is the kind of edge that a tree is drawn along.
type TreeEdge uint8

// The edges.
const (
	ByOwner  TreeEdge = iota // user namespaces, and what each owns
	ByParent                 // the hierarchy of pid namespaces
)

// up is what is one level up along the edge.
func (e TreeEdge) up() string {
	if e == ByParent {
		return "parent"
	}
	return "owner"
}

// TreeOptions says how [WriteTree] draws. The zero value is good.
type TreeOptions struct {
	By TreeEdge
	// Fold is how many siblings of one shape are drawn at most: of more, one
	// less is drawn, with a line that counts the rest. Shape is what is
	// there, whatever its names and numbers. 0 is 8, and 4 of those that
	// have others below them; less than 0 is no bound.
	Fold int
	// Width is how many columns lines are made to fit; 0 is 80, less than 0
	// no bound.
	Width int
	// Color colours names by type, and dims what is not the tree's own, with
	// the escape sequences of a terminal.
	Color bool
	// IDs adds the ids of namespaces to their names.
	IDs bool
	// Legend explains below the tree the marks that are in it.
	Legend bool
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
// look like a root. Nor does the outermost user or pid namespace in sight, where it is
// not the one that the kernel began with: its line says that there is more above.
func WriteTree(w io.Writer, g *Graph, o TreeOptions) error {
	o.Width = cmp.Or(o.Width, 80)
	p, err := newPicture(g, o.By, o.Fold)
	if err != nil {
		return fmt.Errorf("draw tree: %w", err)
	}
	t := &textTree{o: o, p: p, w: bufio.NewWriter(w), stems: stemsFor(depthOf(p.roots)-1, o.Width)}
	for _, root := range p.roots {
		t.print("", root)
		t.branches("", root.below)
	}
	if o.Legend {
		t.legend()
	}
	if err := t.w.Flush(); err != nil {
		return fmt.Errorf("draw tree: %w", err)
	}
	return nil
}

// textTree draws a picture as text. Its writer keeps the first error until it
// is flushed.
type textTree struct {
	o     TreeOptions
	p     *picture
	w     *bufio.Writer
	stems *stems
}

// stems is what leads to a namespace, and past it to what is below: to the last of
// several, and to another.
type stems struct{ bough, stem, lastBough, lastStem string }

// stemsFor returns stems that leave half of the width to what they lead to, of the
// widest that do.
func stemsFor(depth, width int) *stems {
	all := [...]stems{{"├─ ", "│  ", "└─ ", "   "}, {"├ ", "│ ", "└ ", "  "}, {"├", "│", "└", " "}}
	for i := range all {
		if width < 0 || depth*columns(all[i].bough) <= width/2 {
			return &all[i]
		}
	}
	return &all[len(all)-1]
}

// depthOf returns how many levels there are.
func depthOf(list []*twig) int {
	deepest := 0
	for _, b := range list {
		deepest = max(deepest, 1+depthOf(b.below)) // newPicture bounds the depth
	}
	return deepest
}

func (t *textTree) branches(prefix string, list []*twig) {
	for k, b := range list {
		bough, stem := t.stems.bough, t.stems.stem
		if k == len(list)-1 {
			bough, stem = t.stems.lastBough, t.stems.lastStem
		}
		t.print(prefix+bough, b)
		t.branches(prefix+stem, b.below)
	}
}

// print writes a line.
func (t *textTree) print(prefix string, b *twig) {
	l := line{{style: faint, items: []string{prefix}, glued: true}}
	if b.ns == nil {
		l = append(l, part{style: faint, items: []string{b.text}})
	} else {
		l = append(l, t.p.parts(b.ns, t.o.IDs)...)
	}
	_, _ = t.w.WriteString(l.fit(t.o.Width, t.o.Color))
	_ = t.w.WriteByte('\n')
}

// legend explains the marks that were drawn, if there are any.
func (t *textTree) legend() {
	var entries [][2]string
	width := 0
	for _, m := range t.p.marks() {
		entries = append(entries, m)
		width = max(width, columns(m[0]))
	}
	for i, m := range entries {
		if i == 0 {
			_ = t.w.WriteByte('\n')
		}
		l := line{
			{style: plain, items: []string{fmt.Sprintf("%-*s", width+1, m[0])}},
			{style: faint, items: []string{m[1]}},
		}
		_, _ = t.w.WriteString(l.fit(t.o.Width, t.o.Color))
		_ = t.w.WriteByte('\n')
	}
}
