//go:build linux && (amd64 || arm64)

package restore_test

import (
	"context"
	"fmt"
	"log"

	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
)

// A user namespace with a UTS namespace in it, as an ordinary user may have them. A
// graph that was dumped comes from package images, or from package dump.
func Example() {
	ctx, cancel := context.WithCancel(context.Background()) // to cancel undoes all
	defer cancel()

	host, err := restore.ReadHost()
	if err != nil {
		log.Fatal(err)
	}
	outer := &topology.Namespace{Type: topology.User, Ino: 1, External: true}
	user := &topology.Namespace{Type: topology.User, Ino: 2, Owner: outer, Parent: outer, User: &topology.UserState{
		OwnerUID:  host.UID,
		UIDMap:    []topology.Extent{{Inside: 0, Outside: host.UID, Count: 1}},
		GIDMap:    []topology.Extent{{Inside: 0, Outside: host.GID, Count: 1}},
		Setgroups: "deny",
	}}
	uts := &topology.Namespace{Type: topology.UTS, Ino: 3, Owner: user, UTS: &topology.UTSState{NodeName: "ship"}}
	graph := &topology.Graph{Header: topology.Header{Complete: true}, Namespaces: []*topology.Namespace{outer, user, uts}}

	// The graph may be changed before it is planned for, and the plan looked at.
	uts.UTS.DomainName = "example.net"
	plan, err := restore.NewPlan(graph, host.PlanOptions())
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range plan.Steps {
		fmt.Println(s.Op)
	}
	if err := restore.Preflight(plan, host); err != nil {
		log.Fatal(err) // every reason why this host cannot
	}

	last := 0
	standing, err := restore.Execute(ctx, plan, restore.Options{
		Progress: func(done, total int) { last = total - done },
	})
	if err != nil {
		log.Fatal(err) // nothing is left of it
	}
	for _, b := range standing.Bindings {
		fmt.Println(b.Image, "is there again, steps to go:", last)
	}
	// standing.Commit would leave it standing without this process.
	if err := standing.Close(); err != nil {
		log.Fatal(err)
	}

	// Output:
	// fork
	// map
	// ids
	// name
	// exit
	// user:[2] is there again, steps to go: 0
	// uts:[3] is there again, steps to go: 0
}
