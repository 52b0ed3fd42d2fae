package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/renest/renest/topology"
)

func showCommand() *cli.Command {
	return &cli.Command{
		Name:      "show",
		Usage:     "show what an image holds",
		UsageText: "renest show IMAGE [--json]   (IMAGE: a file, a directory that holds one or CRIU's images, or -)",
		Flags:     []cli.Flag{jsonFlag(), colorFlag()},
		Action:    runShow,
	}
}

func runShow(c *cli.Context) error {
	if err := noMore(c, 1); err != nil {
		return err
	}
	args := operands(c)
	if len(args) == 0 {
		return usagef("show: which image? a file, a directory that holds one, or - for standard input")
	}
	parts, err := readCRIU(args[0])
	if err != nil {
		return err
	}
	g, err := readImage(c, args[0])
	alone := errors.Is(err, fs.ErrNotExist) && parts != nil
	if alone { // dumped without renest
		g, err = parts[0].Tree.Graph(), nil
	}
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return topology.WriteJSON(c.App.Writer, g)
	}
	if err := topology.WriteTree(c.App.Writer, g, treeOptions(c)); err != nil {
		return err
	}
	if err := writeSummary(c.App.Writer, g); err != nil || parts == nil || alone {
		return err
	}
	return writeJoined(c.App.Writer, g, parts)
}

func jsonFlag() cli.Flag {
	return &cli.BoolFlag{Name: "json", Usage: "as JSON"}
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// writeSummary writes what an image says of itself.
func writeSummary(w io.Writer, g *topology.Graph) error {
	h := &g.Header
	var b strings.Builder
	of := "the whole host"
	if h.Root != 0 {
		of = fmt.Sprintf("the tree of pid %d", h.Root)
	}
	created := "at an unknown time"
	if !h.Created.IsZero() {
		created = h.Created.Format(time.RFC3339)
	}
	fmt.Fprintf(&b, "\n%s on %s, Linux %s, by %s through %s, %s\n",
		of, orUnknown(h.Hostname), orUnknown(h.Kernel), orUnknown(h.Tool), orUnknown(h.Source), created)
	count := map[topology.Type]int{}
	external := 0
	for _, n := range g.Namespaces {
		count[n.Type]++
		if n.External {
			external++
		}
	}
	fmt.Fprintf(&b, "%s, %d of them external:", several(len(g.Namespaces), "namespace"), external)
	for _, t := range topology.Types {
		if count[t] > 0 {
			fmt.Fprintf(&b, " %d %s", count[t], t)
		}
	}
	fmt.Fprintf(&b, "; %s\n", several(len(g.Tasks), "task"))
	if h.Complete && len(h.Missing) == 0 {
		b.WriteString("complete\n")
	} else {
		b.WriteString("incomplete, what could not be seen:\n")
	}
	for _, line := range h.Missing {
		fmt.Fprintf(&b, "  %s\n", printable(line))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// orUnknown says of nothing that it is that, and makes the rest safe to print.
func orUnknown(s string) string {
	if s == "" {
		return "(unknown)"
	}
	return printable(s)
}
