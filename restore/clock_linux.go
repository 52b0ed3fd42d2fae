package restore

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// clock adds the writing of a time namespace's offsets. Clocks that go on do so from
// the moment at which the offsets are found out: that is the last before they are
// written.
func (e *executor) clock(s Step) error {
	t, err := e.offsets(s.NS)
	if err != nil {
		return err
	}
	e.clocks[s.NS] = t
	what := "set the clocks of " + s.NS.Name()
	p := e.program(s.By)
	fd := p.Call(what, unix.SYS_OPENAT, agent.Int(e.agents[s.By].Dir()), agent.String("timens_offsets"), agent.Int(unix.O_WRONLY|unix.O_CLOEXEC))
	size := len(offsetsText(t))
	p.Call(what, unix.SYS_WRITE, fd.Ret(), agent.Late(size, func(b []byte) {
		if t, err := e.offsets(s.NS); err == nil { // else as it was a moment ago
			e.clocks[s.NS] = t
		}
		copy(b, offsetsText(e.clocks[s.NS]))
	}), agent.Int(size))
	p.Call(what, unix.SYS_CLOSE, fd.Ret())
	return nil
}

// offsetsText is what is written to timens_offsets, of one length always.
func offsetsText(t topology.TimeState) string {
	return fmt.Sprintf("monotonic %20d %09d\nboottime %20d %09d\n", t.Monotonic.Sec, t.Monotonic.Nsec, t.Boottime.Sec, t.Boottime.Nsec)
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
