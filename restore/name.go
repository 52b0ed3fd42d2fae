package restore

import (
	"fmt"
	"regexp"
)

// It begins with a letter, so that no name can be mistaken for a pid.
var nameForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]{0,63}$`)

// CheckName refuses what cannot be the name of a restored tree.
func CheckName(name string) error {
	if !nameForm.MatchString(name) {
		return fmt.Errorf("name %q: want a letter, and then at most 63 letters, digits, dots, dashes and underscores", name)
	}
	return nil
}
