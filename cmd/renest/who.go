package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/topology"
)

func whoCommand() *cli.Command {
	return &cli.Command{
		Name:      "who",
		Usage:     "list the tasks that may act on a namespace",
		UsageText: "renest who NS [--cap CAP_NET_ADMIN] [--json]   (" + nsForms + ")",
		Flags: []cli.Flag{
			&cli.GenericFlag{Name: "cap", Usage: "only those that hold one of `CAPS`, a list with commas", Value: new(capsValue)},
			jsonFlag(),
		},
		Action: runWho,
	}
}

// whoJSON is what who --json prints.
type whoJSON struct {
	Namespace string      `json:"namespace"`
	Complete  bool        `json:"complete"`
	Missing   []string    `json:"missing"`
	Tasks     []actorJSON `json:"tasks"`
}

func runWho(c *cli.Context) error {
	if err := noMore(c, 1); err != nil {
		return err
	}
	args := operands(c)
	if len(args) == 0 {
		return usagef("who: which namespace? renest who NS")
	}
	ns, err := parseNS(c, args[0])
	if err != nil {
		return err
	}
	want := topology.CapSet(*c.Generic("cap").(*capsValue))
	if want == 0 {
		want = ^topology.CapSet(0)
	}
	host, err := dump.OpenHost()
	if err != nil {
		return err
	}
	defer host.Close()
	found, err := host.Actors(c.Context, ns, want)
	if err != nil {
		return fmt.Errorf("who: %w", err)
	}
	if c.Bool("json") {
		out := whoJSON{Namespace: found.Target.Name(), Complete: found.Complete, Missing: append([]string{}, found.Missing...), Tasks: []actorJSON{}}
		for _, a := range found.Actors {
			out.Tasks = append(out.Tasks, newActorJSON(a))
		}
		return writeJSON(c.App.Writer, out)
	}
	kernel, err := writeActors(c.App.Writer, found.Actors)
	if err != nil {
		return err
	}
	if kernel > 0 {
		warn(c, "%d threads of the kernel, which may do everything, are left out: --json has them", kernel)
	}
	if !found.Complete {
		warn(c, "the list is incomplete: --json says under missing what could not be seen")
	}
	return nil
}

// writeActors writes a line for each task, and returns how many are the kernel's.
func writeActors(w io.Writer, list []*dump.Actor) (kernel int, err error) {
	t := newTable("PID", "UID", "USER NAMESPACE", "BY", "CAPABILITIES", "JOINS", "COMMAND")
	for _, a := range list {
		if a.KThread {
			kernel++
			continue
		}
		pid := strconv.Itoa(a.PID)
		if a.TID != a.PID {
			pid += "/" + strconv.Itoa(a.TID)
		}
		for _, text := range []string{
			pid, strconv.Itoa(int(a.EUID)), nameOf(a.User), byText(a), capsText(a.Held), joinsText(a), printable(a.Comm),
		} {
			t.cell(text)
		}
	}
	t.fit(width(w))
	return kernel, t.write(w)
}

// byText says by which rule a task holds what it holds.
func byText(a *dump.Actor) string {
	if a.Rule == topology.CapCreator {
		return "creating " + a.Steps[len(a.Steps)-1].NS.Name()
	}
	return "its own"
}

// capsText is short.
func capsText(s topology.CapSet) string {
	if text := s.String(); len(text) <= 40 {
		return text
	}
	return fmt.Sprintf("%d of %d", s.Len(), topology.AllCaps.Len())
}

func joinsText(a *dump.Actor) string {
	switch {
	case a.Join.OK:
		return "yes"
	case a.Join.Via != nil:
		return "by way of " + a.Join.Via.Name()
	case a.Join.Unsure:
		return "?"
	}
	return "no"
}

// capsValue is a flag's list of capabilities.
type capsValue topology.CapSet

func (v *capsValue) Set(s string) error {
	if s == "" {
		return errors.New("which capability? such as CAP_NET_ADMIN")
	}
	for name := range strings.SplitSeq(s, ",") {
		c, err := topology.ParseCap(name)
		if err != nil {
			return err
		}
		*v |= capsValue(topology.CapSetOf(c))
	}
	return nil
}

func (v *capsValue) String() string {
	if v == nil || *v == 0 {
		return ""
	}
	return topology.CapSet(*v).String()
}
