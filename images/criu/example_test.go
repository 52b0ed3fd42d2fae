package criu_test

import (
	"fmt"
	"log"
	"os"

	"github.com/renest/renest/images/criu"
)

// Which namespaces tasks were in is told by CRIU's own images too, as far as CRIU
// knows.
func ExampleReadTree() {
	tree, err := criu.ReadTree(os.DirFS("ckpt"))
	if err != nil {
		log.Fatal(err)
	}
	for _, n := range tree.Graph().Namespaces {
		fmt.Println(n.Name())
	}
}
