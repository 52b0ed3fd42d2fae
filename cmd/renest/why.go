package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/topology"
)

func whyCommand() *cli.Command {
	return &cli.Command{
		Name:      "why",
		Usage:     "say what keeps a namespace alive",
		UsageText: "renest why NS [--json]   (" + nsForms + ")",
		Flags:     []cli.Flag{jsonFlag()},
		Action:    runWhy,
	}
}

// whyJSON is what why --json prints.
type whyJSON struct {
	Namespace  *topology.Namespace `json:"namespace"`
	OutOfSight bool                `json:"out_of_sight"` // nothing that was seen keeps it
	Complete   bool                `json:"complete"`
	Missing    []string            `json:"missing"`
}

func runWhy(c *cli.Context) error {
	if err := noMore(c, 1); err != nil {
		return err
	}
	args := operands(c)
	if len(args) == 0 {
		return usagef("why: which namespace? renest why NS")
	}
	ref, err := parseNS(c, args[0])
	if err != nil {
		return err
	}
	g, err := dump.All(c.Context, dump.Options{NoState: true})
	if err != nil {
		return err
	}
	n, err := findNS(c, ref, g)
	if err != nil {
		return fmt.Errorf("why: %w", err)
	}
	if c.Bool("json") {
		return writeJSON(c.App.Writer, whyJSON{n, len(n.Pins) == 0, g.Header.Complete, append([]string{}, g.Header.Missing...)})
	}
	if err := writePins(c.App.Writer, g, n); err != nil {
		return err
	}
	if !g.Header.Complete {
		warn(c, "there may be more: --json says under missing what could not be seen")
	}
	return nil
}

// pinsMax is how many pins of one kind are written.
const pinsMax = 20

// writePins writes what keeps n, a line for each.
func writePins(w io.Writer, g *topology.Graph, n *topology.Namespace) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s, owned by %s, is kept by\n", n.Name(), n.State, nameOf(n.Owner))
	tasks := make(map[int]*topology.Task, len(g.Tasks))
	for _, t := range g.Tasks {
		if t.PID == t.TID {
			tasks[t.PID] = t
		}
	}
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	count := map[topology.PinKind]int{}
	for _, p := range n.Pins {
		count[p.Kind]++
	}
	written := map[topology.PinKind]int{}
	for _, p := range n.Pins {
		written[p.Kind]++
		switch i := written[p.Kind]; {
		case i < pinsMax || count[p.Kind] == pinsMax:
			fmt.Fprintf(t, "  %s\t%s\n", p.Kind, pinText(p, tasks))
		case i == pinsMax:
			fmt.Fprintf(t, "  %s\t… and %d more: --json has them\n", p.Kind, count[p.Kind]-pinsMax+1)
		}
	}
	if len(n.Pins) == 0 {
		fmt.Fprintln(t, "  something out of sight (in flight between two sockets, or the kernel itself)")
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// pinText says which task, descriptor, mount or namespace a pin is.
func pinText(p topology.Pin, tasks map[int]*topology.Task) string {
	t := tasks[p.PID]
	if t == nil {
		t = &topology.Task{}
	}
	task := fmt.Sprintf("pid %d (%s)", p.PID, printable(t.Comm))
	if p.TID != 0 && p.TID != p.PID && p.Kind != topology.PinThread {
		task = fmt.Sprintf("thread %d of %s", p.TID, task)
	}
	switch p.Kind {
	case topology.PinTask:
		if zombie(t) {
			task += ", a zombie"
		}
	case topology.PinThread:
		return fmt.Sprintf("%d of %s", p.TID, task)
	case topology.PinFD, topology.PinSocket:
		return fmt.Sprintf("%d of %s", p.FD, task)
	case topology.PinInFlight:
		return fmt.Sprintf("in a message that waits for fd %d of %s", p.FD, task)
	case topology.PinBind:
		return fmt.Sprintf("%s in %s", printable(p.Path), nameOf(p.Mnt))
	case topology.PinChild, topology.PinOwned:
		return nameOf(p.NS)
	}
	return task
}

// zombie reports whether a task has ended and waits to be reaped: it is in its user
// and its pid namespace, and in no other.
func zombie(t *topology.Task) bool {
	for l, n := range t.Namespaces {
		if l := topology.Link(l); n != nil && l != topology.InUser && l != topology.InPID {
			return false
		}
	}
	return t.Namespaces[topology.InUser] != nil
}
