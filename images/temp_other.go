//go:build !linux

package images

import (
	"errors"
	"os"
)

// openUnnamed is Linux's.
func openUnnamed(string) (*os.File, error) { return nil, errors.ErrUnsupported }

// linkUnnamed is never called where no file is unnamed.
func linkUnnamed(*os.File, string) error { return errors.ErrUnsupported }
