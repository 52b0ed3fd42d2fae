package main

import (
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/renest/renest/restore"
)

func psCommand() *cli.Command {
	return &cli.Command{
		Name:  "ps",
		Usage: "list restored trees",
		UsageText: "renest ps [--json]\nrenest ps --oci NAME[/pid:[…]]\n\n" +
			"Restores that are under way are listed too, and what is left of those that were\n" +
			"killed together with the process that cleans up after them: renest rm NAME\n" +
			"removes that.\n\n" +
			"With --oci, what config.json of an OCI runtime has to have in linux.namespaces\n" +
			"for a container that is to run in the innermost namespaces of tree NAME, or in\n" +
			"those of the first process of one of its pid namespaces.",
		Flags: []cli.Flag{
			jsonFlag(),
			&cli.StringFlag{Name: "oci", Usage: "print the namespaces of tree `NAME` for an OCI runtime"},
		},
		Action: runPS,
	}
}

// psJSON is one tree in what ps --json prints.
type psJSON struct {
	*restore.Tree
	Alive bool   `json:"alive"`
	State string `json:"state"`
}

// The states of what ps lists, beside that of a tree of which but some processes are
// left.
const (
	stateStanding = "standing"
	stateDead     = "dead"
	stateUnderway = "being restored"
	stateLeft     = "left by a restore that was killed"
)

func stateOf(t *restore.Tree) string {
	switch alive, all := t.Alive(); {
	case alive == 0:
		return stateDead
	case alive < all:
		return fmt.Sprintf("%d of %d processes left", alive, all)
	}
	return stateStanding
}

func runPS(c *cli.Context) error {
	if err := noMore(c, 0); err != nil {
		return err
	}
	if c.IsSet("oci") {
		return runOCI(c)
	}
	trees, err := restore.List()
	unfinished, uerr := restore.ListUnfinished()
	err = errors.Join(err, uerr)
	if c.Bool("json") {
		if werr := writeJSON(c.App.Writer, psList(trees, unfinished)); werr != nil {
			return werr
		}
		return err
	}
	w := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tPID\tNAMESPACES\tHOLDERS\tFROM\tCREATED\tSTATE")
	for _, t := range trees {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%s\t%s\n", t.Name, t.Keeper.PID, len(t.Namespaces), len(t.Holders),
			orUnknown(t.From), t.Created.Format(time.RFC3339), stateOf(t))
	}
	for _, u := range unfinished {
		pid := fmt.Sprint(u.Maker.PID)
		if u.Killed {
			pid = "-" // it is nobody's any more
		}
		fmt.Fprintf(w, "%s\t%s\t-\t-\t-\t-\t%s\n", u.Name, pid, stateOfUnfinished(u))
	}
	if ferr := w.Flush(); ferr != nil {
		return ferr
	}
	return err
}

func stateOfUnfinished(u restore.Unfinished) string {
	if u.Killed {
		return stateLeft
	}
	return stateUnderway
}

// psList is what ps --json prints: of what is unfinished there is but the name.
func psList(trees []*restore.Tree, unfinished []restore.Unfinished) []psJSON {
	list := []psJSON{}
	for _, t := range trees {
		alive, all := t.Alive()
		if t.Holders == nil {
			t.Holders = []restore.Process{} // a list is never null
		}
		list = append(list, psJSON{t, alive == all, stateOf(t)})
	}
	for _, u := range unfinished {
		t := &restore.Tree{Name: u.Name, Holders: []restore.Process{}, Namespaces: []restore.Binding{}}
		list = append(list, psJSON{t, false, stateOfUnfinished(u)})
	}
	return list
}

func rmCommand() *cli.Command {
	return &cli.Command{
		Name:      "rm",
		Usage:     "take a restored tree down",
		UsageText: "renest rm NAME…",
		Action:    runRM,
	}
}

func runRM(c *cli.Context) error {
	if c.NArg() == 0 {
		return usagef("rm: which tree? renest ps lists them")
	}
	for _, name := range c.Args().Slice() {
		if err := restore.CheckName(name); err != nil {
			return usagef("rm: %w", err)
		}
	}
	var errs []error
	for _, name := range c.Args().Slice() {
		errs = append(errs, restore.Remove(name))
	}
	return errors.Join(errs...)
}
