package restore

import (
	"context"
	"errors"
	"runtime"

	"github.com/renest/renest/nsfs/agent"
)

// The first agent makes the outermost namespaces, which may be thousands, one after
// the other. From handsFrom of them in a round on it has others like itself to help:
// as many as there are cores, but handsMost.
const (
	handsFrom = 32
	handsMost = 4
)

// hands are the first agent and children of it that are where it is, with its
// credentials: what it forks, and whose maps it writes, each of them can.
type hands struct {
	by     []int // of the executor's agents, the first agent first
	spread bool  // in the round at hand
	next   int
}

// raise has hands for a round that is worth it. They are let go of before the
// first agent changes, and are gone before the tree is looked at. Where there can
// be none, it does with one.
func (e *executor) raise(ctx context.Context, round []int) error {
	work, changes := 0, false
	for _, i := range round {
		switch s := e.plan.Steps[i]; {
		case s.By != 0:
		case s.shared():
			work++
		case s.Op != OpFork && s.Op != OpMap:
			changes = true
		}
	}
	if e.hands.spread = work >= handsFrom && !changes; changes {
		return e.dismiss(ctx)
	}
	if !e.hands.spread || len(e.hands.by) > 0 {
		return nil
	}
	e.hands.by = []int{0}
	for range min(runtime.NumCPU(), handsMost) - 1 {
		a, err := e.agents[0].Fork(ctx, "fork a helper", agent.ForkOptions{})
		if refused, is := errors.AsType[*agent.CallError](err); is && refused != nil {
			return nil //nolint:nilerr // it does with fewer
		}
		if err != nil {
			return err
		}
		e.hands.by = append(e.hands.by, len(e.agents))
		e.agents = append(e.agents, a)
	}
	return nil
}

// shared reports whether any hand can do the step.
func (s Step) shared() bool {
	return s.Op == OpFork && len(s.PIDs) == 0 || s.Op == OpMap && !s.UIDHelper && !s.GIDHelper
}

// hand returns who does a step: the agent of the plan, or one of the hands in turn.
func (e *executor) hand(s Step) int {
	if s.By != 0 || !e.hands.spread || !s.shared() {
		return s.By
	}
	e.hands.next++
	return e.hands.by[e.hands.next%len(e.hands.by)]
}

// dismiss ends the hands, but for the first agent.
func (e *executor) dismiss(ctx context.Context) error {
	for _, by := range e.hands.by {
		if by == 0 {
			continue
		}
		e.ended = append(e.ended, by)
		if err := e.agents[by].Exit(ctx); err != nil {
			return err
		}
	}
	e.hands = hands{}
	return nil
}
