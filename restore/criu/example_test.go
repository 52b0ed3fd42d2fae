//go:build linux

package criu_test

import (
	"context"
	"fmt"
	"log"
	"os"

	dumpcriu "github.com/renest/renest/dump/criu"
	"github.com/renest/renest/images"
	imagescriu "github.com/renest/renest/images/criu"
	"github.com/renest/renest/restore/criu"
	"github.com/renest/renest/topology"
)

// What package dump/criu has saved comes back, its tasks too. It takes root and CRIU.
func ExampleRestore() {
	g, err := images.ReadFile("ckpt")
	if err != nil {
		log.Fatal(err)
	}
	f, err := os.Open("ckpt/" + dumpcriu.RecordName)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	record, err := dumpcriu.DecodeRecord(f)
	if err != nil {
		log.Panic(err)
	}
	result, err := criu.Restore(context.Background(), criu.Options{
		Graph: g, Record: record, Dir: "ckpt", Name: "web",
		Share: func(dir string, types []topology.Type) (map[string][]byte, error) {
			return imagescriu.Share(os.DirFS(dir), types)
		},
	})
	if err != nil {
		log.Panic(err) // nothing is left of it
	}
	fmt.Println(result.Tree.Name, result.PIDs)
}
