package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/renest/renest/topology"
)

func watchCommand() *cli.Command {
	return &cli.Command{
		Name:      "watch",
		Usage:     "print what appears, vanishes and changes, as it does",
		UsageText: "renest watch [live:PID | live:NAME] [--interval 1s] [--for 1m] [--json]",
		Description: "It looks again and again, and prints a line for each change, or a JSON object a line.\n" +
			"What lives shorter than from one look to the next may be missed, and before Linux 6.18,\n" +
			"which gives namespaces ids, one that takes over the number of another. Where a look\n" +
			"takes long, the next one waits at least as long, and that is said.",
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: "interval", Aliases: []string{"n"}, Usage: "look every `TIME`", Value: time.Second},
			&cli.DurationFlag{Name: "for", Usage: "stop after `TIME`"},
			jsonFlag(), colorFlag(),
		},
		Action: runWatch,
	}
}

// eventJSON is one line of what watch --json prints.
type eventJSON struct {
	Time string `json:"time"`
	changeJSON
}

func runWatch(c *cli.Context) error {
	if err := noMore(c, 1); err != nil {
		return err
	}
	what := append(operands(c), live)[0]
	interval := c.Duration("interval")
	if interval < time.Millisecond {
		return usagef("watch: --interval %s: a look takes longer than that, 1ms is the least", interval)
	}
	if what != live && !strings.HasPrefix(what, live+":") {
		return usagef("watch: %q does not change: live, live:PID and live:NAME do", what)
	}
	ctx := c.Context
	if c.IsSet("for") {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Duration("for"))
		defer cancel()
	}
	last, err := readGraph(c, what)
	if err != nil {
		return err
	}
	warnIncomplete(c, "what is watched", "renest tree", &last.Header)
	warn(c, "looking every %s: what lives shorter may be missed", interval)
	for next := time.Now().Add(interval); ; {
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return nil
			}
			return exitError{code: 130}
		case <-time.After(time.Until(next)):
		}
		start := time.Now()
		g, err := readGraph(c, what)
		switch {
		case c.Context.Err() != nil:
			return exitError{code: 130}
		case err != nil:
			return fmt.Errorf("watch: %w", err)
		}
		if err := writeEvents(c, start, last, g); err != nil {
			return err
		}
		last = g
		took := time.Since(start)
		if took > interval {
			warn(c, "a look took %s: what lived shorter may have been missed", took.Round(time.Millisecond))
		}
		next = start.Add(max(interval, 2*took)) // never more than half of the time
	}
}

// writeEvents writes what has changed from one look to the next.
func writeEvents(c *cli.Context, at time.Time, last, g *topology.Graph) error {
	changes, err := topology.Diff(last, g, topology.DiffOptions{Identity: true})
	if err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	color := inColor(c)
	encoder := json.NewEncoder(c.App.Writer)
	encoder.SetEscapeHTML(false)
	for _, ch := range changes {
		if c.Bool("json") {
			err = encoder.Encode(eventJSON{at.Format(time.RFC3339Nano), newChangeJSON(ch)})
		} else {
			_, err = fmt.Fprintln(c.App.Writer, at.Format("15:04:05.000"), changeText(ch, color))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
