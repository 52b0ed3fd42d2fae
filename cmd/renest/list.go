package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/topology"
)

func listCommand() *cli.Command {
	return &cli.Command{
		Name:      "list",
		Usage:     "list the namespaces of this host",
		UsageText: "renest list [--type net,mnt] [--owner self|NS] [--json]",
		Flags: []cli.Flag{
			&cli.GenericFlag{Name: "type", Usage: "only those of `TYPES`, a list with commas", Value: new(typesValue)},
			&cli.StringFlag{Name: "owner", Usage: "only those that user namespace `NS` owns: self, user:[4026531837], :ID, PID/user, PID:START/user or a path"},
			jsonFlag(),
		},
		Action: runList,
	}
}

func runList(c *cli.Context) error {
	if err := noMore(c, 0); err != nil {
		return err
	}
	var ref dump.Reference
	if c.IsSet("owner") {
		var err error
		if ref, err = parseOwner(c.String("owner")); err != nil {
			return usagef("list: --owner %q: %w", c.String("owner"), err)
		}
	}
	g, err := dump.All(c.Context, dump.Options{NoState: !c.Bool("json")})
	if err != nil {
		return err
	}
	if c.IsSet("owner") {
		owner, err := findNS(c, ref, g)
		if err == nil && owner.Type != topology.User {
			err = fmt.Errorf("%s is %s: %w", ref, owner.Name(), errNoOwner)
		}
		if err != nil {
			return fmt.Errorf("list: --owner: %w", err)
		}
		keep(g, func(n *topology.Namespace) bool { return n.Owner == owner })
	}
	if types := *c.Generic("type").(*typesValue); len(types) > 0 {
		keep(g, func(n *topology.Namespace) bool { return slices.Contains(types, n.Type) })
	}
	if c.Bool("json") {
		return writeJSON(c.App.Writer, g)
	}
	if err := writeTable(c.App.Writer, g); err != nil {
		return err
	}
	if !g.Header.Complete {
		warn(c, "the list is incomplete, %d things could not be seen: --json has them under missing", len(g.Header.Missing))
	}
	return nil
}

// keep drops namespaces, and the tasks that are in none of those left. Edges to
// what is dropped stay: a list names them.
func keep(g *topology.Graph, wanted func(*topology.Namespace) bool) {
	g.Namespaces = slices.DeleteFunc(g.Namespaces, func(n *topology.Namespace) bool { return !wanted(n) })
	left := make(map[*topology.Namespace]bool, len(g.Namespaces))
	for _, n := range g.Namespaces {
		left[n] = true
	}
	g.Tasks = slices.DeleteFunc(g.Tasks, func(t *topology.Task) bool {
		return !slices.ContainsFunc(t.Namespaces[:], func(n *topology.Namespace) bool { return left[n] })
	})
}

// writeTable writes a line for each namespace: what it is called, whose it is,
// and the first of the tasks in it.
func writeTable(w io.Writer, g *topology.Graph) error {
	tasks := make(map[*topology.Namespace]int, len(g.Namespaces))
	first := make(map[*topology.Namespace]*topology.Task, len(g.Namespaces))
	for _, t := range g.Tasks {
		if t.TID != t.PID {
			continue
		}
		for l, n := range t.Namespaces {
			if n == nil || topology.LinkOf(n.Type) != topology.Link(l) {
				continue
			}
			if tasks[n]++; tasks[n] == 1 {
				first[n] = t
			}
		}
	}
	buffered := bufio.NewWriterSize(w, 1<<16) // tabwriter writes cell by cell
	out := tabwriter.NewWriter(buffered, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "NAMESPACE\tID\tOWNER\tPARENT\tSTATE\tTASKS\tPID\tCOMMAND")
	for _, n := range g.Namespaces {
		id, pid, comm := "-", "-", "-"
		if n.ID != 0 {
			id = strconv.FormatUint(n.ID, 10)
		}
		if t := first[n]; t != nil {
			pid, comm = strconv.Itoa(t.PID), printable(t.Comm)
		}
		parent := "-"
		if n.Type.HasParent() {
			parent = nameOf(n.Parent)
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", n.Name(), id, nameOf(n.Owner), parent, n.State, tasks[n], pid, comm)
	}
	return errors.Join(out.Flush(), buffered.Flush())
}
