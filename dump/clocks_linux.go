package dump

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// Clocks returns the host's monotonic and boot clock, as the initial time namespace
// has them, which is what the offsets of a time namespace are added to. That they
// are not as the caller's time namespace has them is undone by its own offsets.
func Clocks() (topology.TimeState, error) {
	p, err := nsfs.OpenProc()
	if err != nil {
		return topology.TimeState{}, err
	}
	defer p.Close()
	return clocks(p)
}

func clocks(p *nsfs.Proc) (topology.TimeState, error) {
	own := &topology.TimeState{}
	// A process whose children go to another time namespace is shown theirs.
	text, err := p.ReadFile("self/timens_offsets")
	if err == nil {
		own, err = parseOffsets(text)
	}
	if err != nil && !errors.Is(err, nsfs.ErrGone) { // the kernel has no time namespaces
		return topology.TimeState{}, fmt.Errorf("host's clocks: %w", err)
	}
	var s topology.TimeState
	for _, c := range []struct {
		id  int32
		own topology.Offset
		to  *topology.Offset
	}{{unix.CLOCK_MONOTONIC, own.Monotonic, &s.Monotonic}, {unix.CLOCK_BOOTTIME, own.Boottime, &s.Boottime}} {
		var ts unix.Timespec
		if err := unix.ClockGettime(c.id, &ts); err != nil {
			return topology.TimeState{}, fmt.Errorf("host's clocks: clock_gettime: %w", err)
		}
		*c.to = topology.DurationOffset(time.Duration(ts.Nano())).Sub(c.own)
	}
	return s, nil
}
