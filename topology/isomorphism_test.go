package topology_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	. "github.com/renest/renest/topology"
	"github.com/renest/renest/topology/topologytest"
)

var withTasks = CompareOptions{Tasks: true}

// checkMapping holds a mapping against the definition of isomorphism, by other
// means than the package does.
func checkMapping(t *testing.T, a, b *Graph, m map[*Namespace]*Namespace) {
	t.Helper()
	image := make(map[*Namespace]bool)
	for _, n := range a.Namespaces {
		if n.External {
			continue
		}
		o := m[n]
		if o == nil || image[o] || o.External || o.Type != n.Type || o.State != n.State {
			t.Fatalf("%s is mapped to %v", n.Name(), o)
		}
		image[o] = true
		for _, e := range [][2]*Namespace{{n.Owner, o.Owner}, {n.Parent, o.Parent}} {
			if m[e[0]] != e[1] && (e[0] == nil || e[1] == nil || !e[0].External || !e[1].External) {
				t.Fatalf("%s and %s have unlike edges", n.Name(), o.Name())
			}
		}
	}
	for _, n := range b.Namespaces {
		if !n.External && !image[n] {
			t.Fatalf("%s is the image of none", n.Name())
		}
	}
}

func TestIsomorphicRenumbered(t *testing.T) {
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 10))
		a := topologytest.Random(rng, topologytest.Options{
			Tasks: seed%2 == 0, Dead: seed%3 == 0, Unborn: true, Unprivileged: seed%7 == 0,
		})
		b := topologytest.Renumbered(rng, a)
		m, err := Isomorphic(a, b, withTasks)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		checkMapping(t, a, b, m)
		for _, o := range []CompareOptions{{}, {IgnoreTime: true, Tasks: true}, {IgnoreOffsets: true}} {
			if _, err := Isomorphic(a, b, o); err != nil {
				t.Fatalf("seed %d: %+v: %v", seed, o, err)
			}
		}
	}
}

// TestIsomorphicHost: an image of one host against another, with other
// externals, in other numbers.
func TestIsomorphicHost(t *testing.T) {
	a, b := newNest(), newNest()
	b.host.Ino, b.host.User = 77, &UserState{UIDMap: []Extent{{0, 0, 1}}, Setgroups: "deny"}
	b.g.Namespaces = append(b.g.Namespaces, &Namespace{Type: Net, Ino: 99, External: true, Owner: b.host})
	m, err := Isomorphic(a.g, b.g, withTasks)
	if err != nil {
		t.Fatal(err)
	}
	if m[a.host] != b.host || m[a.hostPID] != b.hostPID {
		t.Errorf("the host's namespaces are mapped to %v, %v", m[a.host], m[a.hostPID])
	}
}

func TestIsomorphicOptions(t *testing.T) {
	for _, tt := range []struct {
		name   string
		o      CompareOptions
		change func(x *nest)
		same   bool
	}{
		{name: "offsets", change: func(x *nest) { x.time.Time.Boottime.Sec++ }},
		{name: "offsets ignored", o: CompareOptions{IgnoreOffsets: true}, change: func(x *nest) { x.time.Time.Boottime.Sec++ }, same: true},
		{name: "offsets unread", o: CompareOptions{IgnoreOffsets: true}, change: func(x *nest) { x.time.Time = nil }},
		{name: "time ignored", o: CompareOptions{IgnoreTime: true}, change: func(x *nest) {
			x.g.Namespaces = slices.DeleteFunc(x.g.Namespaces, func(n *Namespace) bool { return n == x.time })
		}, same: true},
		{name: "tasks not asked for", change: func(x *nest) { x.g.Tasks = nil }, same: true},
		{name: "tasks", o: withTasks, change: func(x *nest) { x.g.Tasks = nil }},
		{name: "numbers", o: withTasks, same: true, change: func(x *nest) {
			x.pidA.PID = &PIDState{Init: 5, LastPID: 9}
			x.net.Pins = []Pin{{Kind: PinTask, PID: 5}}
			x.task.NSPID[0], x.task.PID, x.task.TID, x.task.Comm = 7, 7, 7, "sh"
			x.c.ID = 44
		}},
		{name: "projid map", change: func(x *nest) { x.a.User.ProjIDMap = []Extent{{0, 0, 1}} }},
		{name: "user limits", change: func(x *nest) { x.a.User.Sysctls = Sysctls{{"user.max_net_namespaces", "1"}} }},
		{name: "ipc", change: func(x *nest) { x.net.IPC = &IPCState{} }},
		{name: "loopback", change: func(x *nest) { x.net.Net = &NetState{Loopback: true} }},
		{name: "pid_max", change: func(x *nest) { x.pidA.PID = &PIDState{PIDMax: 1000} }},
		{name: "no pid_max", change: func(x *nest) { x.pidA.PID = &PIDState{PIDMax: NoPIDMax} }, same: true},
		{name: "sysctls ignored", o: CompareOptions{IgnoreSysctls: true}, same: true, change: func(x *nest) {
			x.a.User.Sysctls = Sysctls{{"user.max_net_namespaces", "1"}}
			x.pidA.PID = &PIDState{PIDMax: 1000}
			x.net.Net = &NetState{}
		}},
		{name: "order of extents", same: true, change: func(x *nest) { slices.Reverse(x.a.User.UIDMap) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := newNest(), newNest()
			tt.change(b)
			if _, err := Isomorphic(a.g, b.g, tt.o); (err == nil) != tt.same {
				t.Errorf("isomorphic: %v, want %v (%v)", err == nil, tt.same, err)
			}
		})
	}
}

func TestIsomorphicTrouble(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(x *nest)
		want   string
	}{
		{"circle", func(x *nest) { x.a.Owner, x.a.Parent = x.c, x.c }, "compare topologies: second: owners and parents of user:[10] go in a circle"},
		{"outside", func(x *nest) { x.net.Owner = &Namespace{} }, "compare topologies: second: the owner or parent of net:[32] is not in the graph"},
		{"nil", func(x *nest) { x.g.Namespaces[2] = nil }, "compare topologies: second: a namespace is nil"},
		{"task outside", func(x *nest) { x.task.Namespaces[InNet] = &Namespace{} }, "compare topologies: second: net of task 100 is not in the graph"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := newNest(), newNest()
			tt.change(b)
			_, err := Isomorphic(a.g, b.g, withTasks)
			if diff := cmp.Diff(tt.want, fmt.Sprint(err)); diff != "" {
				t.Errorf("Isomorphic (-want +got):\n%s", diff)
			}
		})
	}
}
