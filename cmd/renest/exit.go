package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
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

// interrupted leaves of an error that came of an interruption what is worth a
// line: that there was one, and what else went wrong. Everything that was going on
// at the time has been cut off with the same words.
func interrupted(ctx context.Context, err error) error {
	var exit exitError
	if coded := errors.As(err, &exit); err == nil || ctx.Err() == nil || coded && exit.err == nil {
		return err
	}
	why := context.Cause(ctx)
	return exitError{cmp.Or(exit.code, 1), errors.Join(why, without(err, why.Error(), context.Canceled.Error()))}
}

// unread reports whether err is that nobody reads what is printed any more.
func unread(err error) bool {
	var path *fs.PathError
	return errors.Is(err, syscall.EPIPE) && errors.As(err, &path) && path.Path == os.Stdout.Name()
}

// without returns what is left of an error without the lines that end like one of
// some texts; nil if nothing is.
func without(err error, ends ...string) error {
	var left []error
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if !slices.ContainsFunc(ends, func(end string) bool { return strings.HasSuffix(line, end) }) {
			left = append(left, errors.New(line))
		}
	}
	return errors.Join(left...)
}

// report says to w what went wrong, if anything did, and returns the exit code.
func report(w io.Writer, err error) int {
	var usage usageError
	var exit exitError
	switch {
	case err == nil:
		return 0
	case unread(err): // which whoever did that need not be told
		exit = exitError{128 + int(syscall.SIGPIPE), without(err, syscall.EPIPE.Error())}
	case errors.As(err, &exit):
	case errors.As(err, &usage):
		exit = exitError{2, err}
	default:
		exit = exitError{1, err}
	}
	if exit.err != nil {
		// Reasons that come several at once have a line each.
		mark := "renest: "
		for line := range strings.SplitSeq(strings.TrimSpace(exit.err.Error()), "\n") {
			fmt.Fprintln(w, mark+printable(abridged(line)))
			mark = "  "
		}
	}
	return exit.code
}
