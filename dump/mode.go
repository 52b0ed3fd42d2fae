package dump

import "fmt"

// Mode says what a hook of CRIU's does with what it finds.
type Mode uint8

// The modes.
const (
	// Enforce: what would be lost for good fails CRIU, and so does a hook that
	// cannot do its work. After a dump that failed the tree runs on.
	Enforce Mode = iota
	// Warn: all is said, and nothing fails.
	Warn
	// Off: nothing is done.
	Off
)

var modeNames = [...]string{"enforce", "warn", "off"}

// String returns the mode's name.
func (m Mode) String() string {
	if int(m) >= len(modeNames) {
		return fmt.Sprintf("mode(%d)", uint8(m))
	}
	return modeNames[m]
}

// ParseMode reads the name of a mode.
func ParseMode(s string) (Mode, error) {
	for i, n := range modeNames {
		if n == s {
			return Mode(i), nil
		}
	}
	return 0, fmt.Errorf("unknown mode %.80q (known: enforce, warn, off)", s)
}

// Guard runs a hook in a mode: it returns the error that CRIU is to fail with, and
// tells say what it does not return. A panic of the hook's is an error like any
// other, for CRIU's tree is not to pay for it.
func (m Mode) Guard(say func(line string), hook func() error) (err error) {
	if m == Off {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the hook is broken: %v", p)
		}
		if err != nil && m != Enforce {
			if say != nil {
				say(err.Error() + "; CRIU goes on, as the mode is " + m.String())
			}
			err = nil
		}
	}()
	return hook()
}
