// Command renest checkpoints and restores nested Linux namespaces.
//
// Results go to stdout, everything else to stderr. It exits with 0 when done,
// with 1 when something failed or differs and with 2 when it was called the
// wrong way; diff also exits with 2 when it could not compare.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	collectLate()
	// A reader that has gone is an error like any other, so that what was begun is
	// undone: without this the first line that it does not read ends the process.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // who asks once more is not kept waiting
	std := streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}
	err := run(ctx, os.Args, std)
	code := report(std.err, interrupted(ctx, err))
	stop()
	os.Exit(code)
}
