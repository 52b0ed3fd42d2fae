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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	std := streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}
	code := report(std.err, run(ctx, os.Args, std))
	stop()
	os.Exit(code)
}
