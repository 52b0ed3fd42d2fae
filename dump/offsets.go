package dump

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/renest/renest/topology"
)

// parseOffsets reads the text of a timens_offsets file: a clock's name, or its
// number as it was written before Linux 5.7, seconds, and nanoseconds.
func parseOffsets(b []byte) (*topology.TimeState, error) {
	s := &topology.TimeState{}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			return nil, fmt.Errorf("clock offsets: line %q is not a clock and two numbers", line)
		}
		sec, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("clock offsets: line %q: %w", line, err)
		}
		nsec, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil || nsec >= 1_000_000_000 {
			return nil, fmt.Errorf("clock offsets: line %q: no nanoseconds", line)
		}
		o := topology.Offset{Sec: sec, Nsec: uint32(nsec)}
		switch f[0] {
		case "monotonic", "1":
			s.Monotonic = o
		case "boottime", "7":
			s.Boottime = o
		default:
			return nil, fmt.Errorf("clock offsets: line %q: unknown clock", line)
		}
	}
	return s, nil
}
