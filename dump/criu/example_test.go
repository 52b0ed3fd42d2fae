//go:build linux

package criu_test

import (
	"context"
	"fmt"
	"log"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/dump/criu"
	"github.com/renest/renest/images"
)

// A container in which others nest is saved with its tasks. It takes root, CRIU, and
// a tree that runs.
func ExampleDump() {
	tree, err := dump.ParseTaskReference("4711")
	if err != nil {
		log.Fatal(err)
	}
	result, err := criu.Dump(context.Background(), criu.Options{Tree: tree, Dir: "ckpt", WriteImage: images.WriteBeside})
	if err != nil {
		log.Fatal(err) // all run on
	}
	for _, note := range result.Notes {
		fmt.Println("not saved:", note)
	}
}
