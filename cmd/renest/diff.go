package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
)

func diffCommand() *cli.Command {
	return &cli.Command{
		Name:  "diff",
		Usage: "compare two topologies: exit 0 isomorphic, 1 not, 2 trouble",
		UsageText: "renest diff A B   (each an image, a directory that holds one, - for standard input,\n" +
			"   live:PID or live:PID:START for a tree of processes, live:NAME for a restored tree,\n" +
			"   live for this host or, beside the image of a tree, that tree wherever it is on this host)",
		Flags:  []cli.Flag{&cli.BoolFlag{Name: "tasks", Usage: "compare also which tasks share what"}},
		Action: runDiff,
	}
}

func runDiff(c *cli.Context) error {
	if err := noMore(c, 2); err != nil {
		return err
	}
	args := operands(c)
	if len(args) < 2 {
		return usagef("diff: two are needed, each an image, live, live:PID or live:NAME")
	}
	if args[0] == "-" && args[1] == "-" {
		return usagef("diff: standard input holds one image, not two")
	}
	a, b, err := readBoth(c, args[0], args[1])
	if err != nil {
		return exitError{2, err}
	}
	err = compare(c, a, b)
	var d *topology.Difference
	switch {
	case errors.As(err, &d):
		writeDifference(c, d)
		return exitError{code: 1}
	case err != nil:
		return exitError{2, err}
	}
	return nil
}

func compare(c *cli.Context, a, b *topology.Graph) error {
	_, err := topology.Isomorphic(a, b, topology.CompareOptions{Tasks: c.Bool("tasks")})
	return err
}

// readBoth reads what is compared. Beside an image of one tree, live is that
// tree, where it is to be found: see counterpart.
func readBoth(c *cli.Context, first, second string) (a, b *topology.Graph, err error) {
	if first == second && first == live {
		a, err = readGraph(c, live)
		return a, a, err
	}
	if first == live {
		b, a, err = readBoth(c, second, first)
		return a, b, err
	}
	if a, err = readGraph(c, first); err != nil {
		return nil, nil, err
	}
	if second == live && a.Header.Root != 0 {
		b, err = counterpart(c, a)
	} else {
		b, err = readGraph(c, second)
	}
	return a, b, err
}

// counterpart looks on this host for the tree that an image was made of: among
// the restored trees, and where the process is that it was rooted at. Where none
// is isomorphic it returns one of them, for the difference to be shown, and
// without any the whole host.
func counterpart(c *cli.Context, image *topology.Graph) (*topology.Graph, error) {
	trees, err := restore.List()
	if err != nil {
		return nil, err
	}
	var roots []int
	for _, t := range trees {
		if alive, _ := t.Alive(); alive > 0 {
			roots = append(roots, t.Keeper.PID)
		}
	}
	var closest *topology.Graph
	for i, pid := range append(roots, image.Header.Root) {
		g, err := dump.Tree(c.Context, pid, dump.Options{NoBinds: i < len(roots)})
		if err != nil {
			continue // it has ended
		}
		if compare(c, image, g) == nil {
			return g, nil
		}
		closest = g
	}
	if closest == nil {
		return readGraph(c, live)
	}
	return closest, nil
}

// writeDifference says what has no counterpart, as diff(1) marks it.
func writeDifference(c *cli.Context, d *topology.Difference) {
	for _, u := range d.First {
		fmt.Fprintf(c.App.Writer, "< %s\n", printable(u.String()))
	}
	for _, u := range d.Second {
		fmt.Fprintf(c.App.Writer, "> %s\n", printable(u.String()))
	}
	switch {
	case len(d.First)+len(d.Second) == 0:
		fmt.Fprintln(c.App.Writer, printable(d.Error()))
	case d.More > 0:
		fmt.Fprintf(c.App.Writer, "and %d more\n", d.More)
	}
}
