package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/topology"
)

func listCommand() *cli.Command {
	return &cli.Command{
		Name:      "list",
		Usage:     "list the namespaces of this host",
		UsageText: "renest list [--type net,mnt] [--owner self|NS] [--json]\nrenest list --outline [--type net,mnt] [--after ID] [--limit N] [--json]",
		Flags: []cli.Flag{
			&cli.GenericFlag{Name: "type", Usage: "only those of `TYPES`, a list with commas", Value: new(typesValue)},
			&cli.StringFlag{Name: "owner", Usage: "only those that user namespace `NS` owns: self, user:[4026531837], :ID, PID/user, PID:START/user or a path"},
			&cli.BoolFlag{Name: "outline", Usage: "ids, types and owners alone, by listns(2) alone: what tasks are in them is not asked"},
			&cli.GenericFlag{Name: "after", Usage: "of an outline, only those with an id above `ID`: the last of the page before", Value: new(idValue)},
			&cli.IntFlag{Name: "limit", Usage: "of an outline, the first `N`: a page", DefaultText: "all"},
			jsonFlag(),
		},
		Action: runList,
	}
}

func runList(c *cli.Context) error {
	if err := noMore(c, 0); err != nil {
		return err
	}
	if c.Bool("outline") {
		return runOutline(c)
	}
	for _, f := range []string{"after", "limit"} {
		if c.IsSet(f) {
			return usagef("list: --%s goes with --outline, which is in the order of ids", f)
		}
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
		return topology.WriteJSON(c.App.Writer, g)
	}
	if err := writeTable(c.App.Writer, g); err != nil {
		return err
	}
	warnIncomplete(c, "the list", "--json", &g.Header)
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
	t := newTable("NAMESPACE", "ID", "OWNER", "PARENT", "STATE", "TASKS", "PID", "COMMAND")
	for _, n := range g.Namespaces {
		t.namespace(n)
		if n.ID != 0 {
			t.number(n.ID)
		} else {
			t.cell("-")
		}
		if n.Type == topology.User && n.Initial() {
			t.cell("-")
		} else {
			t.namespace(n.Owner)
		}
		if n.Type.HasParent() && !n.Initial() {
			t.namespace(n.Parent)
		} else {
			t.cell("-")
		}
		t.cell(n.State.String())
		tasks, first := tasksIn(g, n)
		t.number(uint64(tasks))
		if first != nil {
			t.number(uint64(first.PID))
			t.cell(printable(first.Comm))
		} else {
			t.cell("-")
			t.cell("-")
		}
	}
	const id, parent = 1, 3 // which most people can do without, and a picture shows better
	t.fit(width(w), id, parent)
	return t.write(w)
}

// tasksIn counts the processes in a namespace, and returns that with the smallest
// number.
func tasksIn(g *topology.Graph, n *topology.Namespace) (count int, first *topology.Task) {
	pid := 0
	for i := range n.Pins {
		if p := &n.Pins[i]; p.Kind == topology.PinTask {
			if count++; count == 1 || p.PID < pid {
				pid = p.PID
			}
		}
	}
	if count == 0 {
		return 0, nil
	}
	at, _ := slices.BinarySearchFunc(g.Tasks, pid, func(t *topology.Task, pid int) int { return t.PID - pid })
	for ; at < len(g.Tasks) && g.Tasks[at].PID == pid; at++ {
		if t := g.Tasks[at]; t.TID == pid {
			first = t
		}
	}
	return count, first
}
