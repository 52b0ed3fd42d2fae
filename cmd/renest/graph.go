package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/images"
	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
)

// readImage reads the image that an argument names: a file, a directory that
// holds one, or - for standard input.
func readImage(c *cli.Context, arg string) (*topology.Graph, error) {
	switch {
	case arg == "":
		return nil, usagef("%s: the name of the image is empty", c.Command.Name)
	case arg == live || strings.HasPrefix(arg, live+":"):
		return nil, usagef("%s: %s is no image: renest dump makes one, renest tree draws what is there", c.Command.Name, arg)
	}
	return unlessInterrupted(c.Context, func() (*topology.Graph, error) {
		if arg != "-" {
			return images.ReadFile(arg)
		}
		g, err := images.Decode(bufio.NewReader(c.App.Reader))
		if err != nil {
			return nil, fmt.Errorf("read image from standard input: %w", err)
		}
		return g, nil
	})
}

// live is what the running host is called where an image could stand.
const live = "live"

// readGraph reads an image, or looks at what is live: the whole host, the tree
// of a process or a restored tree.
func readGraph(c *cli.Context, arg string) (*topology.Graph, error) {
	what, part := strings.CutPrefix(arg, live+":")
	switch {
	case arg == live:
		return dump.All(c.Context, dump.Options{})
	case !part:
		return readImage(c, arg)
	}
	if strings.Trim(what, "-+:0123456789") != "" {
		return restored(c.Context, what)
	}
	r, err := dump.ParseTaskReference(what)
	if err != nil {
		return nil, usagef("%s: %q: %w", c.Command.Name, arg, err)
	}
	return dump.TreeOf(c.Context, r, dump.Options{})
}

// restored looks at a restored tree.
func restored(ctx context.Context, name string) (*topology.Graph, error) {
	t, err := restore.Find(name)
	if err != nil {
		return nil, err
	}
	if alive, _ := t.Alive(); alive == 0 {
		return nil, fmt.Errorf("%s: nothing is left of that tree: renest rm %s clears its record", name, name)
	}
	return dump.Tree(ctx, t.Keeper.PID, dump.Options{NoBinds: true})
}
