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
	Alive bool `json:"alive"`
}

func runPS(c *cli.Context) error {
	if err := noMore(c, 0); err != nil {
		return err
	}
	if c.IsSet("oci") {
		return runOCI(c)
	}
	trees, err := restore.List()
	if c.Bool("json") {
		list := []psJSON{}
		for _, t := range trees {
			alive, all := t.Alive()
			if t.Holders == nil {
				t.Holders = []restore.Process{} // a list is never null
			}
			list = append(list, psJSON{t, alive == all})
		}
		if werr := writeJSON(c.App.Writer, list); werr != nil {
			return werr
		}
		return err
	}
	w := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tPID\tNAMESPACES\tHOLDERS\tFROM\tCREATED\tSTATE")
	for _, t := range trees {
		state := "standing"
		switch alive, all := t.Alive(); {
		case alive == 0:
			state = "dead"
		case alive < all:
			state = fmt.Sprintf("%d of %d processes left", alive, all)
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%s\t%s\n", t.Name, t.Keeper.PID, len(t.Namespaces), len(t.Holders),
			orUnknown(t.From), t.Created.Format(time.RFC3339), state)
	}
	if ferr := w.Flush(); ferr != nil {
		return ferr
	}
	return err
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
