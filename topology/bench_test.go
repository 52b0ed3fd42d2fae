package topology_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	. "github.com/renest/renest/topology"
	"github.com/renest/renest/topology/topologytest"
)

// Large topologies of the kinds that a host has, and of the kinds that a search
// for mappings founders on.

func siblings(n int) *Graph {
	g := chain(User, 1)
	for i := range n {
		g.Namespaces = append(g.Namespaces, &Namespace{Type: Net, Ino: uint64(i), Owner: g.Namespaces[1]})
	}
	return g
}

func containers(n int) *Graph {
	g := chain(PID, 0)
	host, hostPID := g.Namespaces[0], g.Namespaces[1]
	for i := range uint64(n) {
		u := &Namespace{Type: User, Ino: 10 + i, Owner: host, Parent: host, User: &UserState{}}
		p := &Namespace{Type: PID, Ino: 10 + i, Owner: u, Parent: hostPID}
		uts := &Namespace{Type: UTS, Ino: 10 + i, Owner: u, UTS: &UTSState{NodeName: "box"}}
		ipc := &Namespace{Type: IPC, Ino: 10 + i, Owner: u}
		mnt := &Namespace{Type: Mnt, Ino: 10 + i, Owner: u}
		g.Namespaces = append(g.Namespaces, u, p, uts, ipc, mnt)
		task := &Task{PID: int(1000 + i), TID: int(1000 + i), NSPID: []int{int(1000 + i), 1}}
		task.Namespaces = [NumLinks]*Namespace{InUser: u, InPID: p, InUTS: uts, InIPC: ipc, InMnt: mnt}
		g.Tasks = append(g.Tasks, task)
	}
	return g
}

func BenchmarkIsomorphic(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 14))
	different := containers(2000)
	different.Namespaces[5000].State = Hidden
	for _, bb := range []struct {
		name  string
		graph *Graph
		other *Graph // nil for the same, renumbered
	}{
		{name: "siblings10000", graph: siblings(10_000)},
		{name: "chain33", graph: chain(User, 33)},
		{name: "containers2000of5", graph: containers(2000)},
		{name: "random10000", graph: topologytest.Random(rng, topologytest.Options{Namespaces: 10_000, Depth: 20, Tasks: true})},
		{name: "rings250of8", graph: rings(slices.Repeat([]int{8}, 250)...)},
		{name: "different", graph: containers(2000), other: different},
	} {
		other := bb.other
		if other == nil {
			other = bb.graph
		}
		other = topologytest.Renumbered(rng, other)
		b.Run(bb.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := Isomorphic(bb.graph, other, withTasks); (err == nil) != (bb.other == nil) {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkValidate(b *testing.B) {
	g := topologytest.Random(rand.New(rand.NewPCG(1, 1)), topologytest.Options{Namespaces: 10_000, Depth: 20})
	for b.Loop() {
		if err := g.Validate(); err != nil {
			b.Fatal(err)
		}
	}
}
