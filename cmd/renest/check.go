package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/dump/forecast"
	"github.com/renest/renest/topology"
)

func checkCommand() *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "say what CRIU would refuse or lose of a tree; without one, what this kernel and these privileges allow",
		UsageText: "renest check [-t PID] [--json]",
		Description: "Of a tree, exit 0 is clean, 1 that CRIU loses something and says success,\n" +
			"3 that it refuses the tree or destroys it. Nothing is frozen and nothing is\n" +
			"changed.",
		Flags: []cli.Flag{
			&cli.GenericFlag{Name: "tree", Aliases: []string{"t"}, Usage: "check the tree of `PID`, 4711 or 4711:START", Value: new(taskValue)},
			jsonFlag(),
		},
		Action: runCheck,
	}
}

func runCheck(c *cli.Context) error {
	if err := noMore(c, 0); err != nil {
		return err
	}
	if !c.IsSet("tree") {
		return checkHost(c)
	}
	tree := dump.TaskReference(*c.Generic("tree").(*taskValue))
	g, err := dump.TreeOf(c.Context, tree, dump.Options{CopiedBinds: true, Offspring: true})
	if err != nil {
		return err
	}
	findings, err := forecast.Of(g)
	if err != nil {
		return err
	}
	outside, err := dump.SessionsOutside(g)
	if err != nil {
		return err
	}
	findings = forecast.WithSessions(findings, outside)
	j, err := judge(c.Context, tree, findings)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		err = writeJSON(c.App.Writer, jsonCheck(g, findings, j))
	} else {
		err = writeFindings(c.App.Writer, g, findings, j)
	}
	if err != nil {
		return err
	}
	switch forecast.Outcome(findings) {
	case forecast.Clean:
		return nil
	case forecast.Loses:
		return exitError{code: 1}
	}
	return exitError{code: 3}
}

// writeFindings writes a paragraph for each finding.
func writeFindings(w io.Writer, g *topology.Graph, findings []forecast.Finding, j *judgement) error {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "CRIU %s: %s\n", f.Verdict, printable(f.Loss))
		line := func(key, value string) {
			if value != "" {
				fmt.Fprintf(&b, "  %-10s %s\n", key, printable(value))
			}
		}
		line("tasks", forecast.TaskList(f.Tasks))
		line("namespaces", strings.Join(names(f.Namespaces), ", "))
		line("it says", f.Message)
		line("way out", j.wayOut(f))
	}
	j.write(&b)
	if len(findings) == 0 {
		fmt.Fprintf(&b, "clean: CRIU keeps the namespaces of %s of pid %d\n", several(len(g.Tasks), "task"), g.Header.Root)
	}
	for i, line := range g.Header.Missing {
		if i == 0 {
			b.WriteString("not judged, since it could not be seen:\n")
		}
		fmt.Fprintf(&b, "  %s\n", printable(line))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// names names the first few of some namespaces.
func names(list []*topology.Namespace) []string {
	const most = 4
	var names []string
	for _, n := range list[:min(most, len(list))] {
		names = append(names, n.Name())
	}
	if more := len(list) - most; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return names
}

// checked is what check --json writes.
type checked struct {
	Root     int           `json:"root"`
	Verdict  string        `json:"verdict"` // what CRIU comes to
	Findings []jsonFinding `json:"findings"`
	Complete bool          `json:"complete"`
	Missing  []string      `json:"missing"`
	// RenestCRIU is what renest criu dump makes of a tree that is not clean.
	RenestCRIU *judgement `json:"renest_criu,omitempty"`
}

type jsonFinding struct {
	Rule       string   `json:"rule"`
	Verdict    string   `json:"verdict"` // loses, refuses, destroys
	Type       string   `json:"type"`
	PIDs       []int    `json:"pids"`
	Namespaces []string `json:"namespaces"`
	Message    string   `json:"message,omitempty"`
	Loss       string   `json:"loss"`
	Remedy     string   `json:"remedy"`
}

func jsonCheck(g *topology.Graph, findings []forecast.Finding, judged *judgement) checked {
	out := checked{
		Root: g.Header.Root, Verdict: forecast.Outcome(findings).String(), Findings: []jsonFinding{},
		Complete: g.Header.Complete, Missing: append([]string{}, g.Header.Missing...),
		RenestCRIU: judged,
	}
	for _, f := range findings {
		j := jsonFinding{
			Rule: string(f.Rule), Verdict: f.Verdict.String(), Type: f.Type.String(), PIDs: []int{}, Namespaces: []string{},
			Message: f.Message, Loss: f.Loss, Remedy: judged.wayOut(f),
		}
		for _, t := range f.Tasks {
			j.PIDs = append(j.PIDs, t.TID)
		}
		for _, n := range f.Namespaces {
			j.Namespaces = append(j.Namespaces, n.Name())
		}
		out.Findings = append(out.Findings, j)
	}
	return out
}

// jsonFeature is one of the array that check --json writes without a tree.
type jsonFeature struct {
	Name    string `json:"name"`
	There   bool   `json:"there"`
	Why     string `json:"why,omitempty"`
	For     string `json:"for"`
	Instead string `json:"instead"`
}

// checkHost says what the kernel and the caller's privileges allow.
func checkHost(c *cli.Context) error {
	features, err := dump.Features()
	if err != nil {
		return err
	}
	if c.Bool("json") {
		out := []jsonFeature{}
		for _, f := range features {
			j := jsonFeature{Name: f.Name, There: f.Err == nil, For: f.For, Instead: f.Instead}
			if f.Err != nil {
				j.Why = f.Err.Error()
			}
			out = append(out, j)
		}
		return writeJSON(c.App.Writer, out)
	}
	w := tabwriter.NewWriter(c.App.Writer, 0, 8, 2, ' ', 0)
	for _, f := range features {
		if f.Err == nil {
			fmt.Fprintf(w, "yes\t%s\t%s\n", f.Name, f.For)
		} else {
			fmt.Fprintf(w, "no\t%s\t%s: %s\n", f.Name, printable(f.Why()), f.Instead)
		}
	}
	return w.Flush()
}
