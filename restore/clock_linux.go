package restore

import (
	"fmt"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/topology"
)

// clock adds the writing of a time namespace's offsets.
func (e *executor) clock(s Step) error {
	t, err := e.offsets(s.NS)
	if err != nil {
		return err
	}
	e.clocks[s.NS] = t
	write(e.program(s.By), "set the clocks of "+s.NS.Name(), e.agents[s.By], "timens_offsets", fmt.Sprintf(
		"monotonic %d %d\nboottime %d %d\n", t.Monotonic.Sec, t.Monotonic.Nsec, t.Boottime.Sec, t.Boottime.Nsec))
	return nil
}

// offsets returns what the offsets of n are to be here. For clocks that go on, that
// is what they showed when they were dumped, less what those of this host show.
func (e *executor) offsets(n *topology.Namespace) (topology.TimeState, error) {
	then := e.plan.Graph.Header.Clocks
	if e.plan.Clock == ClockOffset || then == nil {
		return *n.Time, nil
	}
	now, err := dump.Clocks()
	if err != nil {
		return topology.TimeState{}, err
	}
	return topology.TimeState{
		Monotonic: n.Time.Monotonic.Add(then.Monotonic).Sub(now.Monotonic),
		Boottime:  n.Time.Boottime.Add(then.Boottime).Sub(now.Boottime),
	}, nil
}

// sameClocks holds the offsets of a time namespace that was made against what was
// written.
func (e *executor) sameClocks(n, live *topology.Namespace) error {
	want, ok := e.clocks[n]
	if !ok || live.Time == nil || *live.Time == want {
		return nil
	}
	return fmt.Errorf("the clocks of %s, which stands for %s, are at %v and %v, not %v and %v",
		live.Name(), n.Name(), live.Time.Monotonic, live.Time.Boottime, want.Monotonic, want.Boottime)
}
