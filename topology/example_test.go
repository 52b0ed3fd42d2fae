package topology_test

import (
	"fmt"
	"os"

	"github.com/renest/renest/topology"
)

// container returns the namespaces of a small container, numbered from first.
func container(first uint64, name string) *topology.Graph {
	host := &topology.Namespace{Type: topology.User, Ino: 4026531837, External: true}
	user := &topology.Namespace{
		Type: topology.User, Ino: first + 1, Owner: host, Parent: host,
		User: &topology.UserState{UIDMap: []topology.Extent{{Outside: 100000, Count: 65536}}},
	}
	uts := &topology.Namespace{
		Type: topology.UTS, Ino: first + 2, Owner: user,
		UTS: &topology.UTSState{NodeName: name},
	}
	net := &topology.Namespace{Type: topology.Net, Ino: first + 3, Owner: user}
	return &topology.Graph{Namespaces: []*topology.Namespace{host, user, uts, net}}
}

func ExampleWriteTree() {
	if err := topology.WriteTree(os.Stdout, container(1, "box"), topology.TreeOptions{}); err != nil {
		fmt.Println(err)
	}
	// Output:
	// user:[4026531837] external
	// └─ user:[2] uid 0→100000+65536 gid none
	//    ├─ uts:[3] "box"
	//    └─ net:[4]
}

// Numbers are never compared: this is the same topology on another host, but for
// a name.
func ExampleDiff() {
	changes, err := topology.Diff(container(1, "box"), container(501, "chest"), topology.DiffOptions{})
	if err != nil {
		fmt.Println(err)
	}
	for _, c := range changes {
		fmt.Println(c)
	}
	// Output:
	// changed uts:[3], now uts:[503]: host name "box" → "chest"
}

// Maps compose: what the inner one says of ids outside is inside of the outer one.
func ExampleCompose() {
	outer := []topology.Extent{{Inside: 0, Outside: 100000, Count: 65536}}
	inner := []topology.Extent{{Inside: 0, Outside: 1000, Count: 10}}
	fmt.Print(topology.FormatIDMap(topology.Compose(inner, outer)))
	// Output: 0 101000 10
}
