package main

import (
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
)

// planStepJSON is a step in what restore --dry-run --json prints.
type planStepJSON struct {
	Op        string   `json:"op"`
	Agent     int      `json:"agent"`
	New       int      `json:"new,omitempty"`
	Namespace string   `json:"namespace,omitempty"`
	Creates   []string `json:"creates,omitempty"`
	Does      string   `json:"does"`
	Why       string   `json:"why"`
	Takes     []string `json:"takes,omitempty"` // capabilities in the caller's own user namespace
}

// planPinJSON is a bind mount in it.
type planPinJSON struct {
	Namespace string `json:"namespace"`
	Path      string `json:"path"`
}

// planJSON is what restore --dry-run --json prints.
type planJSON struct {
	Steps []planStepJSON `json:"steps"`
	Pins  []planPinJSON  `json:"pins"`
	Notes []string       `json:"notes"`
}

func showPlan(c *cli.Context, plan *restore.Plan) error {
	if !c.Bool("json") {
		return writePlan(c.App.Writer, plan)
	}
	out := planJSON{Steps: []planStepJSON{}, Pins: []planPinJSON{}, Notes: append([]string{}, plan.Notes...)}
	takes := plan.Takes()
	for i, s := range plan.Steps {
		j := planStepJSON{Op: s.Op.String(), Agent: s.By, New: s.New, Does: s.String(), Why: s.Why}
		if s.NS != nil {
			j.Namespace = s.NS.Name()
		}
		for _, n := range s.Creates {
			j.Creates = append(j.Creates, n.Name())
		}
		for _, c := range takes[i].Caps() {
			j.Takes = append(j.Takes, c.String())
		}
		out.Steps = append(out.Steps, j)
	}
	for _, p := range plan.Pins {
		out.Pins = append(out.Pins, planPinJSON{p.NS.Name(), p.Path})
	}
	return writeJSON(c.App.Writer, out)
}

// writePlan prints the steps of a plan, each with its reason.
func writePlan(w io.Writer, plan *restore.Plan) error {
	takes := plan.Takes()
	for i, s := range plan.Steps {
		why := s.Why
		if takes[i] != 0 {
			why += "; takes " + takes[i].String()
		}
		if _, err := fmt.Fprintf(w, "%3d. %s\n     %s\n", i+1, printable(s.String()), printable(why)); err != nil {
			return err
		}
	}
	for _, p := range plan.Pins {
		if _, err := fmt.Fprintf(w, "pin %s to %s\n", p.NS.Name(), printable(p.Path)); err != nil {
			return err
		}
	}
	for _, n := range plan.Notes {
		if _, err := fmt.Fprintf(w, "note: %s\n", printable(n)); err != nil {
			return err
		}
	}
	count := map[topology.Type]int{}
	for _, n := range plan.Made() {
		count[n.Type]++
	}
	line := fmt.Sprintf("%d steps make %d namespaces:", len(plan.Steps), len(plan.Made()))
	for _, t := range topology.Types {
		if count[t] > 0 {
			line += fmt.Sprintf(" %d %s", count[t], t)
		}
	}
	processes, descriptors := plan.Needs()
	_, err := fmt.Fprintf(w, "%s; %d stay by their own init, the keeper holds %d\nit takes %d processes and %d descriptors at a time\n",
		line, len(plan.Holders), len(plan.Keep), processes, descriptors)
	return err
}
