package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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
		Description: "It looks again and again, and prints a line for each change, or a JSON object\n" +
			"a line. Whatever lives as long as the interval is found. Where a look takes\n" +
			"so long that this cannot be promised, or does not see all, that is said;\n" +
			"looks take half of the time at most. Before Linux 6.18, which gives\n" +
			"namespaces ids, one that takes over the number of another is taken for that.",
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: "interval", Aliases: []string{"n"}, Usage: "look every `TIME`, and miss nothing that lives longer", Value: time.Second},
			&cli.DurationFlag{Name: "for", Usage: "stop after `TIME`", DefaultText: "when interrupted"},
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
	if c.IsSet("for") && c.Duration("for") <= 0 {
		return usagef("watch: --for %s: it has to be above 0", c.Duration("for"))
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
	start := time.Now()
	last, err := readGraph(c, what)
	if err != nil {
		return err
	}
	p := pace{interval: interval, start: start, took: time.Since(start), told: interval}
	warnWatching(c, last, interval)
	for {
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return nil
			}
			return exitError{code: 130}
		case <-time.After(time.Until(p.next())):
		}
		start := time.Now()
		g, err := readGraph(c, what)
		end := time.Now()
		switch {
		case c.Context.Err() != nil:
			return exitError{code: 130}
		case err != nil:
			return fmt.Errorf("watch: %w", err)
		}
		g.Recall(last) // what one look could read and the other could not is no change
		last.Recall(g)
		if err := writeEvents(c, start, last, g); err != nil {
			return err
		}
		if missed := p.looked(start, end); missed != 0 {
			warn(c, "%s a look took %s: what lived shorter than %s may have been missed",
				start.Format(clock), end.Sub(start).Round(time.Millisecond), missed)
		}
		for _, line := range newlyMissing(last, g) {
			warn(c, "%s not seen: %s", start.Format(clock), printable(line))
		}
		last = g
	}
}

// clock is how a line begins: when the look began in which something was found.
const clock = "15:04:05.000"

// warnWatching says what may be missed from the start.
func warnWatching(c *cli.Context, g *topology.Graph, interval time.Duration) {
	warnIncomplete(c, "what is watched", "renest tree", &g.Header)
	if !slices.ContainsFunc(g.Namespaces, func(n *topology.Namespace) bool { return n.ID != 0 }) {
		warn(c, "this kernel gives namespaces no ids (Linux 6.18 does): one that takes over the number of another is taken for that")
	}
	warn(c, "looking every %s: what lives shorter may be missed", interval)
}

// newlyMissing returns what could not be seen for a reason that the look before did
// not have, a line for each reason: "/proc: tasks ended before they were read".
func newlyMissing(last, g *topology.Graph) (lines []string) {
	known := map[string]bool{}
	reason := func(line string) string {
		_, after, _ := strings.Cut(line, ": ")
		return strings.Trim(after, "0123456789") // how many of them
	}
	for _, line := range last.Header.Missing {
		known[reason(line)] = true
	}
	for _, line := range g.Header.Missing {
		if r := reason(line); !known[r] {
			known[r] = true
			lines = append(lines, line)
		}
	}
	return lines
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
			_, err = fmt.Fprintln(c.App.Writer, at.Format(clock), changeText(ch, color))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
