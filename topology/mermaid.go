package topology

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// WriteMermaid draws g as a flowchart in the language of Mermaid, which a README
// or a report can hold. It is otherwise like [WriteDOT].
//
// Mermaid draws no more than 500 arrows and 50,000 characters unless the page
// that holds it says otherwise (its options maxEdges and maxTextSize): fold what
// is larger.
func WriteMermaid(w io.Writer, g *Graph, o TreeOptions) error {
	d, err := newDrawing(g, o)
	if err != nil {
		return fmt.Errorf("draw flowchart: %w", err)
	}
	b := bufio.NewWriter(w) // keeps the first error until it is flushed
	_, _ = b.WriteString("flowchart LR\n")
	classes := make(map[string]string)
	for i, n := range d.nodes {
		rows := make([]string, len(n.rows))
		for k, row := range n.rows {
			rows[k] = mermaidText(row)
		}
		class := n.class()
		classes[class] = n.fill()
		fmt.Fprintf(b, "  n%d[\"%s\"]:::%s\n", i, strings.Join(rows, "<br/>"), class)
	}
	for _, a := range d.arrows {
		fmt.Fprintf(b, "  n%d %s n%d\n", a.from, [...]string{along: "-->", across: "-.->", about: "-.-"}[a.kind], a.to)
	}
	for _, name := range slices.Sorted(maps.Keys(classes)) {
		style := "fill:none,stroke:#999,color:#777,text-align:left"
		if fill := classes[name]; fill != "" {
			style = fmt.Sprintf("fill:%s,stroke:#777,color:#000,text-align:left", fill)
		}
		fmt.Fprintf(b, "  classDef %s %s\n", name, style)
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("draw flowchart: %w", err)
	}
	return nil
}

// class names how a node is filled. Mermaid has words of its own, of which none
// begins like this.
func (n node) class() string {
	switch {
	case n.ns == nil:
		return "ns-text"
	case n.fill() == externalFill:
		return "ns-external"
	case n.ns.State == Dead:
		return "ns-dead"
	}
	return "ns-" + n.ns.Type.String()
}

// mermaidText escapes what a label would take for more than text: the signs of
// HTML, of Markdown and of Mermaid's directives anywhere, and at the front also
// those that begin a list. A name is left legible where it can be. What Mermaid
// looks for after it has undone all escapes, formulas and \n, is parted by a
// character that is not seen.
func mermaidText(row string) string {
	var b strings.Builder
	first := true
	var last rune
	for i, r := range row {
		if last == '$' && r == '$' || last == '\\' && r == 'n' {
			b.WriteString("#8288;") // word joiner
		}
		last = r
		first = first && r != ' '
		switch {
		case strings.ContainsRune("\"#<>&\\`*_~$@%", r),
			i == 0 && (r == '-' || r == '+'),
			first && (r == '.' || r == ')'),
			r > unicode.MaxASCII && !unicode.IsPrint(r):
			fmt.Fprintf(&b, "#%d;", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
