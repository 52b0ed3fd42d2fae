// Command fetch brings a CRIU that the tests run into the user's cache.
//
// One that is there already is kept; -u looks for a newer one.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/renest/renest/test/criu"
)

func main() {
	update := flag.Bool("u", false, "fetch the newest CRIU even where there is one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *update); err != nil {
		fmt.Fprintln(os.Stderr, "fetch:", err)
		os.Exit(1) //nolint:gocritic // the signal handler ends with the process
	}
}

func run(ctx context.Context, update bool) error {
	i, err := criu.Find()
	if err != nil || update {
		i, err = criu.Fetch(ctx)
	}
	if err != nil {
		return err
	}
	fmt.Printf("criu\t%s\t%s\n", i.Version, i.Path())
	return nil
}
