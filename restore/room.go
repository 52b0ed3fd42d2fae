package restore

import (
	"errors"
	"fmt"

	"github.com/renest/renest/topology"
)

// Room is a limit on how many processes there may be, and what it leaves.
type Room struct {
	Limit  string // what it is called
	Free   uint64
	Remedy string
}

// Needs returns how many processes a restore by the plan has at most at a time,
// with its keeper, and how many descriptors it holds open.
func (p *Plan) Needs() (processes, descriptors uint64) {
	live, most := 2, 2 // the keeper and the first agent
	for _, round := range schedule(p) {
		ends := 0
		for _, i := range round {
			switch p.Steps[i].Op {
			case OpFork:
				live++
			case OpExit:
				ends++
			}
		}
		most = max(most, live)
		live -= ends
	}
	// Every namespace and every agent takes a descriptor while the restore is on.
	// To look at what was made takes three more processes.
	return uint64(most + 3), uint64(len(p.Made()) + p.Agents + 16)
}

// cramped returns which limits leave too little room for plan.
func (h *Host) cramped(plan *Plan) []error {
	var errs []error
	processes, descriptors := plan.Needs()
	if descriptors > h.Files {
		errs = append(errs, fmt.Errorf("the limit of open files is %d, the restore needs %d: raise it (ulimit -Hn %d)", h.Files, descriptors, descriptors))
	}
	for _, r := range h.Room {
		if processes > r.Free {
			errs = append(errs, fmt.Errorf("%s leaves room for %d more processes, the restore needs %d at a time: %s", r.Limit, r.Free, processes, r.Remedy))
		}
	}
	return errs
}

// incapable returns which capabilities the caller lacks, each with the step that
// takes it first. An ordinary user's plan takes none but those that [Host.refuses]
// names.
func (h *Host) incapable(plan *Plan) []error {
	if !h.Privileged || h.Lacks == 0 {
		return nil
	}
	var errs []error
	first, more := map[topology.Cap]int{}, map[topology.Cap]int{}
	for i, set := range plan.Takes() {
		for _, c := range (set & h.Lacks).Caps() {
			if _, ok := first[c]; ok {
				more[c]++
			} else {
				first[c] = i
			}
		}
	}
	for _, c := range h.Lacks.Caps() {
		i, ok := first[c]
		if !ok {
			continue
		}
		text := fmt.Sprintf("step %d of %d (%s) takes %s, which you do not have", i+1, len(plan.Steps), plan.Steps[i], c)
		if more[c] > 0 {
			text += fmt.Sprintf(", and so do %d others", more[c])
		}
		errs = append(errs, errors.New(text+": restore with all capabilities"))
	}
	return errs
}
