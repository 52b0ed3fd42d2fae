package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/renest/renest/topology"
)

func diffCommand() *cli.Command {
	return &cli.Command{
		Name:  "diff",
		Usage: "compare two topologies: exit 0 isomorphic, 1 not, 2 trouble",
		UsageText: "renest diff A B   (each an image, a directory that holds one, - for standard input,\n" +
			"   live for this host, live:PID for a tree of processes, live:NAME for a restored tree)",
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
	a, err := readGraph(c, args[0])
	if err != nil {
		return exitError{2, err}
	}
	b, err := readGraph(c, args[1])
	if err != nil {
		return exitError{2, err}
	}
	_, err = topology.Isomorphic(a, b, topology.CompareOptions{Tasks: c.Bool("tasks")})
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
