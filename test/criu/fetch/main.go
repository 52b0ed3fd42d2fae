// Command fetch brings a CRIU that the tests run into the user's cache.
//
// One that is there already is kept; -u looks for a newer one.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/renest/renest/test/criu"
	"github.com/renest/renest/test/debian"
)

func main() { os.Exit(debian.Command("CRIU", run)) }

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
