// Command fetch brings the kernels that the tests run on into the user's cache.
//
// A kernel that is there already is kept; -u looks for a newer one.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/renest/renest/test/debian"
	"github.com/renest/renest/test/vm"
)

func main() { os.Exit(debian.Command("kernel", run)) }

func run(ctx context.Context, update bool) error {
	for _, m := range vm.Machines() {
		k, err := vm.Find(m)
		if err != nil || update {
			k, err = vm.Fetch(ctx, m)
		}
		if err != nil {
			return err
		}
		fmt.Printf("%s\t%s\t%s\n", k.Machine, k.Release, k.Image)
	}
	return nil
}
