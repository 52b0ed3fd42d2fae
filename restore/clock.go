package restore

import "fmt"

// Clock says what becomes of the clocks of time namespaces.
type Clock uint8

const (
	// ClockContinue has them go on from what they showed when they were dumped,
	// whatever the clocks of this host show: what CRIU does. For an image that
	// does not say what the host's were it is ClockOffset.
	ClockContinue Clock = iota
	// ClockOffset keeps their offsets, to this host's clocks.
	ClockOffset
)

var clockNames = [...]string{"continue", "offset"}

// String returns the name.
func (c Clock) String() string {
	if int(c) >= len(clockNames) {
		return fmt.Sprintf("clock(%d)", uint8(c))
	}
	return clockNames[c]
}

// ParseClock reads the name.
func ParseClock(s string) (Clock, error) {
	for i, n := range clockNames {
		if n == s {
			return Clock(i), nil
		}
	}
	return 0, fmt.Errorf("unknown %q (known: continue, offset)", s)
}
