package topology

import (
	"fmt"
	"strconv"
	"strings"
)

// ParseName reads the kernel's spelling of a namespace, net:[4026531840], as
// readlink(2) of /proc/PID/ns gives it.
func ParseName(s string) (Type, uint64, error) {
	kind, rest, ok := strings.Cut(s, ":[")
	digits, closed := strings.CutSuffix(rest, "]")
	if !ok || !closed {
		return 0, 0, fmt.Errorf("parse namespace %q: not of the form net:[4026531840]", clip(s, 40))
	}
	t, err := ParseType(kind)
	if err != nil {
		return 0, 0, fmt.Errorf("parse namespace %q: %w", clip(s, 40), err)
	}
	ino, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("parse namespace %q: %q is no inode number", clip(s, 40), clip(digits, 40))
	}
	return t, ino, nil
}
