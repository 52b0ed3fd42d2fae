package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestReport: what an error comes to, and what is said of it.
func TestReport(t *testing.T) {
	cause := errors.New("interrupt signal received")
	stopped, stop := context.WithCancelCause(t.Context())
	stop(cause)
	pipe := &fs.PathError{Op: "write", Path: os.Stdout.Name(), Err: syscall.EPIPE}
	long := strings.Repeat("ä", 50_000)
	tests := map[string]struct {
		ctx  context.Context //nolint:containedctx // what was interrupted
		err  error
		code int
		says string
	}{
		"nothing":       {code: 0},
		"failed":        {err: errors.New("x"), code: 1, says: "renest: x\n"},
		"several":       {err: errors.Join(errors.New("x"), errors.New("y\x1b[2J")), code: 1, says: "renest: x\n  y\\x1b[2J\n"},
		"usage":         {err: usagef("x"), code: 2, says: "renest: x\n"},
		"code alone":    {err: exitError{code: 3}, code: 3},
		"code":          {err: exitError{2, errors.New("x")}, code: 2, says: "renest: x\n"},
		"unread":        {err: fmt.Errorf("draw tree: %w", pipe), code: 141},
		"unread, worse": {err: errors.Join(pipe, errors.New("x")), code: 141, says: "renest: x\n"},
		"another pipe":  {err: &fs.PathError{Op: "write", Path: "x", Err: syscall.EPIPE}, code: 1, says: "renest: write x: broken pipe\n"},
		"interrupted": {
			ctx: stopped, err: errors.Join(fmt.Errorf("dump: fork agent: %w", cause), context.Canceled, fmt.Errorf("x: %w", context.Canceled)),
			code: 1, says: "renest: interrupt signal received\n",
		},
		"interrupted, worse": {ctx: stopped, err: errors.Join(cause, errors.New("x")), code: 1, says: "renest: interrupt signal received\n  x\n"},
		"interrupted, code":  {ctx: stopped, err: exitError{2, context.Canceled}, code: 2, says: "renest: interrupt signal received\n"},
		"interrupted watch":  {ctx: stopped, err: exitError{code: 130}, code: 130},
		"too late":           {ctx: stopped, code: 0},
		"long":               {err: fmt.Errorf("open %s: no such file", long), code: 1, says: ": no such file\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if tt.ctx == nil {
				tt.ctx = t.Context()
			}
			var b strings.Builder
			if code := report(&b, interrupted(tt.ctx, tt.err)); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if name == "long" {
				if n := b.Len(); n > 3000 || !strings.HasSuffix(b.String(), tt.says) || strings.Contains(b.String(), `\x`) {
					t.Errorf("%d bytes: %q", n, b.String())
				}
			} else if b.String() != tt.says {
				t.Errorf("%q, want %q", b.String(), tt.says)
			}
		})
	}
}
