package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/renest/renest/topology"
)

func treeCommand() *cli.Command {
	return &cli.Command{
		Name:      "tree",
		Usage:     "draw who owns or bears whom, on this host or in an image",
		UsageText: "renest tree [IMAGE | live:PID | live:NAME] [--by owner|parent] [--all] [--format text|dot|mermaid|html]",
		Flags: []cli.Flag{
			&cli.GenericFlag{Name: "by", Usage: "hang each namespace below its `EDGE`: owner or parent", Value: new(byValue)},
			&cli.GenericFlag{Name: "format", Usage: "draw as `FORMAT`: text, dot (for Graphviz), mermaid or html (one page)", Value: new(formatValue)},
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "draw each of many that are alike"},
			&cli.BoolFlag{Name: "ids", Usage: "add the ids of namespaces, as in :42"},
			colorFlag(),
		},
		Action: runTree,
	}
}

func runTree(c *cli.Context) error {
	if err := noMore(c, 1); err != nil {
		return err
	}
	g, err := readGraph(c, append(operands(c), "live")[0])
	if err != nil {
		return err
	}
	o := treeOptions(c)
	o.By = topology.TreeEdge(*c.Generic("by").(*byValue))
	o.IDs = c.Bool("ids")
	if c.Bool("all") {
		o.Fold = -1
	}
	switch *c.Generic("format").(*formatValue) {
	case "dot":
		err = topology.WriteDOT(c.App.Writer, g, o)
	case "html":
		err = topology.WriteHTML(c.App.Writer, g, o)
	case "mermaid":
		err = topology.WriteMermaid(c.App.Writer, g, o)
	default:
		if err := topology.WriteTree(c.App.Writer, g, o); err != nil {
			return err
		}
		return writeMissing(c.App.Writer, g, 3)
	}
	warnIncomplete(c, "the picture", "--format text", &g.Header)
	return err
}

// formatValue is a flag's form of picture.
type formatValue string

func (v *formatValue) Set(s string) error {
	switch s {
	case "text", "dot", "mermaid", "html":
		*v = formatValue(s)
		return nil
	}
	return errors.New("none of text, dot, mermaid and html")
}

func (v *formatValue) String() string {
	if v == nil || *v == "" {
		return "text"
	}
	return string(*v)
}

// treeOptions says how a command with colorFlag draws.
func treeOptions(c *cli.Context) topology.TreeOptions {
	return topology.TreeOptions{Width: width(c.App.Writer), Color: inColor(c), Legend: true}
}

// writeMissing says under a picture what could not be seen, if there is any
// such thing, in at most so many lines.
func writeMissing(w io.Writer, g *topology.Graph, lines int) error {
	h := &g.Header
	if h.Complete && len(h.Missing) == 0 {
		return nil
	}
	var b strings.Builder
	b.WriteString("\nincomplete, what could not be seen:\n")
	missing := h.Missing
	if len(missing) > lines {
		missing = missing[:lines]
	}
	for _, line := range missing {
		fmt.Fprintf(&b, "  %s\n", printable(line))
	}
	if rest := len(h.Missing) - len(missing); rest > 0 {
		fmt.Fprintf(&b, "  and %d more lines: renest list --json, or show of an image, has them all\n", rest)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// byValue is a flag's edge.
type byValue topology.TreeEdge

func (v *byValue) Set(s string) error {
	switch s {
	case "owner":
		*v = byValue(topology.ByOwner)
	case "parent":
		*v = byValue(topology.ByParent)
	default:
		return errors.New("neither owner nor parent")
	}
	return nil
}

func (v *byValue) String() string {
	if v == nil || *v == byValue(topology.ByOwner) {
		return "owner"
	}
	return "parent"
}
