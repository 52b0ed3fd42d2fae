// Command fetch makes the Debian system that tests install packages in, and puts it
// into the user's cache.
//
// One that is there already is kept; -u makes a new one.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/renest/renest/test/debian"
)

func main() {
	update := flag.Bool("u", false, "make a new system even where there is one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *update); err != nil {
		fmt.Fprintln(os.Stderr, "fetch:", err)
		os.Exit(1) //nolint:gocritic // the signal handler ends with the process
	}
}

func run(ctx context.Context, update bool) error {
	file, err := debian.FindSystem()
	if err != nil || update {
		file, err = debian.MakeSystem(ctx)
	}
	if err != nil {
		return err
	}
	fmt.Printf("debian\t%s\t%s\n", debian.Stable, file)
	return nil
}
