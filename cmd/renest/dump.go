package main

import (
	"os"

	"github.com/urfave/cli/v2"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/images"
	"github.com/renest/renest/topology"
)

func dumpCommand() *cli.Command {
	return &cli.Command{
		Name:      "dump",
		Usage:     "write the topology of a tree of processes, or of the host, into an image",
		UsageText: "renest dump (-t PID | --all) [-D DIR | -o FILE | -o -] [--source auto|listns|proc] [--no-settings]",
		Flags: []cli.Flag{
			&cli.GenericFlag{Name: "tree", Aliases: []string{"t"}, Usage: "dump the tree of `PID`, 4711 or 4711:START", Value: new(taskValue)},
			&cli.BoolFlag{Name: "all", Usage: "dump the whole host"},
			&cli.PathFlag{Name: "images-dir", Aliases: []string{"D"}, Usage: "write " + images.Name + " into `DIR`", Value: ".", TakesFile: true},
			&cli.PathFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to `FILE`, - is standard output", TakesFile: true},
			&cli.BoolFlag{Name: "no-settings", Usage: "leave out sysctls, loopback devices, pid_max and last pids: quicker where there are thousands of namespaces"},
			&cli.GenericFlag{Name: "source", Usage: "find namespaces by `SOURCE`: auto, listns or proc", Value: new(sourceValue)},
		},
		Action: runDump,
	}
}

func runDump(c *cli.Context) error {
	if err := dumpUsage(c); err != nil {
		return err
	}
	options := dump.Options{Source: dump.Source(*c.Generic("source").(*sourceValue)), NoSysctls: c.Bool("no-settings")}
	var g *topology.Graph
	var err error
	if c.Bool("all") {
		g, err = dump.All(c.Context, options)
	} else {
		g, err = dump.TreeOf(c.Context, dump.TaskReference(*c.Generic("tree").(*taskValue)), options)
	}
	if err != nil {
		return err
	}
	_, err = unlessInterrupted(c.Context, func() (struct{}, error) { return struct{}{}, writeImage(c, g) })
	if err != nil {
		return err
	}
	warnIncomplete(c, "the dump", "renest show", &g.Header)
	return nil
}

// writeImage writes an image to where it was asked for.
func writeImage(c *cli.Context, g *topology.Graph) error {
	switch out := c.Path("output"); out {
	case "":
		return images.WriteDir(c.Path("images-dir"), g)
	case "-":
		return images.Encode(c.App.Writer, g)
	default:
		return images.WriteFile(out, g)
	}
}

// dumpUsage checks what can be checked before anything is done.
func dumpUsage(c *cli.Context) error {
	if err := noMore(c, 0); err != nil {
		return err
	}
	if err := together(c, "tree", "all"); err != nil {
		return err
	}
	if !c.IsSet("tree") && !c.Bool("all") {
		return usagef("dump: of what? -t PID is a tree of processes, --all the whole host")
	}
	if err := together(c, "images-dir", "output"); err != nil {
		return err
	}
	if c.IsSet("output") && c.Path("output") == "" {
		return usagef("dump: -o needs a file name, or - for standard output")
	}
	if c.Path("output") == "-" && isTerminal(c.App.Writer) {
		return usagef("dump: an image is no text for a terminal: pipe it, or use -o FILE")
	}
	return nil
}

// isTerminal reports whether w is a terminal, or a device much like one.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// sourceValue is a flag's source.
type sourceValue dump.Source

func (v *sourceValue) Set(s string) error {
	source, err := dump.ParseSource(s)
	*v = sourceValue(source)
	return err
}

func (v *sourceValue) String() string {
	if v == nil {
		return ""
	}
	return dump.Source(*v).String()
}
