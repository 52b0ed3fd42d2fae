package topology_test

import (
	"slices"

	. "github.com/renest/renest/topology"
)

// nest is a small valid topology whose parts tests can name: a host, and two
// user namespaces a and b in it, c below a, each with something of its own.
type nest struct {
	g                          *Graph
	host, hostPID, a, b, c     *Namespace
	pidA, pidC, uts, time, net *Namespace
	mnt                        *Namespace
	task                       *Task
}

func newNest() *nest {
	x := &nest{}
	one := func(n *Namespace) *Namespace { return n }
	x.host = one(&Namespace{Type: User, Ino: 4026531837, External: true})
	x.hostPID = one(&Namespace{Type: PID, Ino: 4026531836, External: true, Owner: x.host})
	user := func(ino uint64, up *Namespace, m ...Extent) *Namespace {
		return &Namespace{Type: User, Ino: ino, Owner: up, Parent: up, User: &UserState{
			UIDMap: m, GIDMap: slices.Clone(m), Setgroups: "allow",
		}}
	}
	x.a = user(10, x.host, Extent{0, 100000, 1000}, Extent{1000, 200000, 1000})
	x.b = user(11, x.host, Extent{0, 300000, 1000})
	x.c = user(12, x.a, Extent{0, 500, 100})
	x.pidA = &Namespace{Type: PID, Ino: 20, Owner: x.a, Parent: x.hostPID, PID: &PIDState{Init: 100}}
	x.pidC = &Namespace{Type: PID, Ino: 21, Owner: x.c, Parent: x.pidA}
	x.uts = &Namespace{Type: UTS, Ino: 30, Owner: x.a, UTS: &UTSState{NodeName: "box", DomainName: "(none)"}}
	x.time = &Namespace{Type: Time, Ino: 31, Owner: x.b, Time: &TimeState{Boottime: Offset{Sec: 86400}}}
	x.net = &Namespace{Type: Net, Ino: 32, Owner: x.c}
	x.mnt = &Namespace{Type: Mnt, Ino: 33, Owner: x.a}
	x.task = &Task{PID: 100, TID: 100, NSPID: []int{100, 1}, Comm: "init"}
	x.task.Namespaces[InPID] = x.pidA
	x.task.Namespaces[PIDForChildren] = x.pidA
	x.task.Namespaces[InUser] = x.a
	x.g = &Graph{
		Header:     Header{Version: 1, Complete: true},
		Namespaces: []*Namespace{x.host, x.hostPID, x.a, x.b, x.c, x.pidA, x.pidC, x.uts, x.time, x.net, x.mnt},
		Tasks:      []*Task{x.task},
	}
	return x
}

// chain returns n namespaces of type t, one below the other, the first external.
func chain(t Type, n int) *Graph {
	g := &Graph{Header: Header{Complete: true}}
	root := &Namespace{Type: User, Ino: 4026531837, External: true}
	g.Namespaces = append(g.Namespaces, root)
	up := root
	if t == PID {
		up = &Namespace{Type: PID, Ino: 4026531836, External: true, Owner: root}
		g.Namespaces = append(g.Namespaces, up)
	}
	for i := range n {
		ns := &Namespace{Type: t, Ino: uint64(i + 2), Owner: root, Parent: up}
		if t == User {
			ns.Owner = up
			ns.User = &UserState{UIDMap: []Extent{{0, 0, 1}}, GIDMap: []Extent{{0, 0, 1}}}
		}
		g.Namespaces = append(g.Namespaces, ns)
		up = ns
	}
	return g
}
