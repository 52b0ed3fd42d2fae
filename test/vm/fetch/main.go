// Command fetch brings the kernels that the tests run on into the user's cache.
//
// A kernel that is there already is kept; -u looks for a newer one.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/renest/renest/test/vm"
)

func main() {
	update := flag.Bool("u", false, "fetch the newest kernel even where there is one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *update); err != nil {
		fmt.Fprintln(os.Stderr, "fetch:", err)
		os.Exit(1) //nolint:gocritic // the signal handler ends with the process
	}
}

func run(ctx context.Context, update bool) error {
	for _, s := range vm.Suites() {
		k, err := vm.Find(s)
		if err != nil || update {
			k, err = vm.Fetch(ctx, s)
		}
		if err != nil {
			return err
		}
		fmt.Printf("%s\t%s\t%s\n", k.Suite, k.Release, k.Image)
	}
	return nil
}
