package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/images"
	"github.com/renest/renest/restore"
	nest "github.com/renest/renest/restore/demo"
	"github.com/renest/renest/topology"
)

func demoCommand() *cli.Command {
	return &cli.Command{
		Name:      "demo",
		Usage:     "build a nest, dump it, destroy it, restore it, prove it the same",
		UsageText: "renest demo [--source auto|listns|proc]   (as root or as an ordinary user; nothing is left behind)",
		Flags: []cli.Flag{
			&cli.GenericFlag{Name: "source", Usage: "find namespaces by `SOURCE`: auto, listns or proc", Value: new(sourceValue)},
		},
		Action: runDemo,
	}
}

func runDemo(c *cli.Context) error {
	if err := noMore(c, 0); err != nil {
		return err
	}
	d := &demo{Context: c, out: c.App.Writer}
	d.options = dump.Options{Source: dump.Source(*c.Generic("source").(*sourceValue))}
	return d.run()
}

// demo is one run of the demonstration. The image stays in memory: whatever ends
// it leaves no file behind.
type demo struct {
	*cli.Context
	out     io.Writer
	image   bytes.Buffer
	options dump.Options
}

func (d *demo) run() error {
	if err := d.dumpNest(); err != nil {
		return err
	}
	before, err := images.Decode(&d.image)
	if err != nil {
		return err
	}
	host, err := restore.ReadHost()
	if err != nil {
		return err
	}
	plan, err := restore.NewPlan(before, host.PlanOptions())
	if err != nil {
		return err
	}
	if err := restore.Preflight(plan, host); err != nil {
		return err
	}
	s, err := restore.Execute(d.Context.Context, plan, restore.Options{Dump: d.options})
	if err != nil {
		return err
	}
	d.say("restored   in %s by %d steps, verified in %s", ms(s.Made), len(plan.Steps), ms(s.Verified))
	err = errors.Join(d.compare(before, s), s.Close())
	if err == nil {
		d.say("isomorphic")
	}
	return err
}

// dumpNest builds the nest, dumps it and destroys it.
func (d *demo) dumpNest() error {
	start := time.Now()
	n, err := nest.Start(d.Context.Context)
	if err != nil {
		return err
	}
	d.say("built      in %s, by hand", ms(time.Since(start)))
	if err := d.dumpTree(n.PID()); err != nil {
		return errors.Join(err, n.Close())
	}
	start = time.Now()
	if err := n.Close(); err != nil {
		return err
	}
	d.say("destroyed  in %s: no process of it is left", ms(time.Since(start)))
	return nil
}

// dumpTree dumps and draws a tree.
func (d *demo) dumpTree(pid int) error {
	start := time.Now()
	g, err := dump.Tree(d.Context.Context, pid, d.options)
	if err != nil {
		return err
	}
	took := time.Since(start)
	if err := images.Encode(&d.image, g); err != nil {
		return err
	}
	if err := topology.WriteTree(d.out, g, topology.TreeOptions{}); err != nil {
		return err
	}
	d.say("dumped     in %s: %s served, %d namespaces, %d bytes of image", ms(took), served(g), made(g), d.image.Len())
	return nil
}

// compare draws what was restored and compares it with what there was.
func (d *demo) compare(before *topology.Graph, s *restore.Standing) error {
	if err := topology.WriteTree(d.out, s.Live, topology.TreeOptions{}); err != nil {
		return err
	}
	start := time.Now()
	same, err := topology.Isomorphic(before, s.Live, topology.CompareOptions{IgnoreOffsets: true})
	if err != nil {
		return err
	}
	d.say("compared   in %s: each of %d namespaces has its counterpart", ms(time.Since(start)), len(same))
	return nil
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

func ms(t time.Duration) string { return fmt.Sprintf("%.1f ms", float64(t.Microseconds())/1000) }

// served names the source that a dump was made by.
func served(g *topology.Graph) string {
	if g.Header.Source == "listns" {
		return "listns(2)"
	}
	return "/proc"
}

// made counts the namespaces that are the dump's own.
func made(g *topology.Graph) int {
	n := 0
	for _, ns := range g.Namespaces {
		if !ns.External {
			n++
		}
	}
	return n
}
