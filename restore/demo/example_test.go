//go:build linux

package demo_test

import (
	"context"
	"fmt"
	"log"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/restore/demo"
)

// A nest is there to be looked at until it is closed. It takes user namespaces.
func ExampleStart() {
	ctx := context.Background()
	nest, err := demo.Start(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer nest.Close()
	g, err := dump.Tree(ctx, nest.PID(), dump.Options{})
	if err != nil {
		log.Panic(err)
	}
	fmt.Println(len(g.Namespaces), "namespaces")
}
