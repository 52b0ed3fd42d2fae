package forecast_test

import (
	"fmt"

	"github.com/renest/renest/dump/forecast"
	"github.com/renest/renest/topology"
)

// What CRIU would make of a tree is known without a look at the host: here, of a
// task whose child is in a UTS namespace of its own. Such a graph is what
// dump.Tree returns with CopiedBinds.
func ExampleOf() {
	g := &topology.Graph{Header: topology.Header{Root: 10}}
	root := &topology.Task{PID: 10, TID: 10, NSPID: []int{10}, Comm: "root"}
	var user *topology.Namespace
	for _, t := range topology.Types { // the host's
		n := &topology.Namespace{Type: t, Ino: uint64(len(g.Namespaces) + 1), External: true, Owner: user}
		if t == topology.User {
			user = n
		}
		root.Namespaces[topology.LinkOf(t)] = n
		g.Namespaces = append(g.Namespaces, n)
	}
	child := *root
	child.PID, child.TID, child.NSPID, child.Comm = 11, 11, []int{11}, "child"
	nested := &topology.Namespace{Type: topology.UTS, Ino: 42, Owner: user}
	child.Namespaces[topology.InUTS] = nested
	g.Namespaces, g.Tasks = append(g.Namespaces, nested), []*topology.Task{root, &child}

	findings, err := forecast.Of(g)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range findings {
		fmt.Println(f.Verdict, f.Namespaces[0].Name(), forecast.TaskList(f.Tasks))
	}
	fmt.Println("all in all:", forecast.Outcome(findings))
	// Output:
	// refuses uts:[42] pid 11 (child)
	// all in all: refuses
}
