package topology

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// typeFills are the colours that nodes of a type are filled with: light, for
// black text.
var typeFills = [...]string{
	User: "#ffe9a8", Mnt: "#d3e2ff", UTS: "#d5f2d0", IPC: "#f3d5f3",
	PID: "#cdeff0", Cgroup: "#ffd9ec", Net: "#e2f7bd", Time: "#e0dcff",
}

const (
	externalFill = "#eeeeee"
	deadFill     = "#ffc9c4"
)

// fill returns the colour of a node, "" for text.
func (n node) fill() string {
	switch {
	case n.ns == nil:
		return ""
	case n.ns.External || !n.ns.Type.Valid():
		return externalFill
	case n.ns.State == Dead:
		return deadFill
	}
	return typeFills[n.ns.Type]
}

// WriteDOT draws g in the language of Graphviz, to be laid out by dot(1): a box
// for each namespace with what [WriteTree] says of it, an arrow from each owner
// to what it owns, and a dashed one from each pid namespace to its children. By
// and Fold of the options are as in a tree, and so is IDs; Width, Color and
// Legend have no meaning.
func WriteDOT(w io.Writer, g *Graph, o TreeOptions) error {
	d, err := newDrawing(g, o)
	if err != nil {
		return fmt.Errorf("draw graph: %w", err)
	}
	b := bufio.NewWriter(w) // keeps the first error until it is flushed
	_, _ = b.WriteString(`digraph namespaces {
  graph [rankdir=LR, nodesep=0.12, ranksep=0.5];
  node [shape=box, style="rounded,filled", fontname="monospace", fontsize=10, height=0.3, margin="0.1,0.05"];
  edge [arrowsize=0.6, color="#555555"];
`)
	for i, n := range d.nodes {
		attributes := "style=rounded, color=\"#999999\", fontcolor=\"#555555\""
		if n.ns != nil {
			attributes = fmt.Sprintf("fillcolor=%q", n.fill())
		}
		var label strings.Builder
		for _, row := range n.rows {
			label.WriteString(dotText(row))
			label.WriteString(`\l`) // a line that begins at the left
		}
		fmt.Fprintf(b, "  n%d [%s, label=\"%s\"];\n", i, attributes, label.String())
	}
	for _, a := range d.arrows {
		attributes := ""
		switch a.kind {
		case across:
			attributes = " [style=dashed, constraint=false]"
		case about:
			attributes = " [style=dotted, arrowhead=none]"
		}
		fmt.Fprintf(b, "  n%d -> n%d%s;\n", a.from, a.to, attributes)
	}
	_, _ = b.WriteString("}\n")
	if err := b.Flush(); err != nil {
		return fmt.Errorf("draw graph: %w", err)
	}
	return nil
}

// dotText escapes what a label would take for more than text: quotes,
// backslashes, and entities as of HTML.
var dotText = strings.NewReplacer(`"`, `\"`, `\`, `\\`, "&", "&amp;").Replace
