package main

import (
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/renest/renest/topology"
)

func treeCommand() *cli.Command {
	return &cli.Command{
		Name:      "tree",
		Usage:     "draw who owns or bears whom, on this host or in an image",
		UsageText: "renest tree [IMAGE | live:PID | live:NAME] [--by owner|parent]",
		Flags: []cli.Flag{
			&cli.GenericFlag{Name: "by", Usage: "hang each namespace below its `EDGE`: owner or parent", Value: new(byValue)},
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
	return topology.WriteTree(c.App.Writer, g, topology.TreeOptions{By: topology.TreeEdge(*c.Generic("by").(*byValue))})
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
