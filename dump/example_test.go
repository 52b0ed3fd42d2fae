//go:build linux

package dump_test

import (
	"context"
	"fmt"
	"os"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/topology"
)

// The tree of this process, and where it lives. Without privilege some of it is
// out of sight, which the header says.
func ExampleTree() {
	g, err := dump.Tree(context.Background(), os.Getpid(), dump.Options{NoBinds: true, NoState: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, t := range g.Tasks {
		if t.PID == os.Getpid() && t.TID == t.PID {
			fmt.Println("user namespace seen:", t.Namespaces[topology.InUser] != nil)
		}
	}
	// Output: user namespace seen: true
}

// References are written as people and tools write them.
func ExampleParseReference() {
	for _, s := range []string{"net:[4026531840]", ":42", "4711/net", "/run/netns/blue", "nonsense"} {
		r, err := dump.ParseReference(s)
		if err != nil {
			fmt.Println("no:", s)
			continue
		}
		fmt.Println(r)
	}
	// Output:
	// net:[4026531840]
	// :42
	// 4711/net
	// /run/netns/blue
	// no: nonsense
}
