package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// usageError is a call of the wrong form: exit 2.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// exitError asks for an exit code of its own. Without an error nothing is said.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e exitError) Unwrap() error { return e.err }

// report says to w what went wrong, if anything did, and returns the exit code.
func report(w io.Writer, err error) int {
	if err == nil {
		return 0
	}
	code := 1
	var usage usageError
	var exit exitError
	switch {
	case errors.As(err, &exit):
		code = exit.code
	case errors.As(err, &usage):
		code = 2
	}
	if exit.code == 0 || exit.err != nil {
		// Reasons that come several at once have a line each.
		mark := "renest: "
		for line := range strings.SplitSeq(strings.TrimSpace(err.Error()), "\n") {
			fmt.Fprintln(w, mark+printable(line))
			mark = "  "
		}
	}
	return code
}
