package forecast

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/renest/renest/topology"
)

// tree is a graph with the host's namespaces and a root task in them.
func tree() (*topology.Graph, *topology.Task) {
	g := &topology.Graph{Header: topology.Header{Root: 10, Complete: true}}
	root := &topology.Task{PID: 10, TID: 10, NSPID: []int{10}, Comm: "root"}
	var user *topology.Namespace
	for _, kind := range topology.Types {
		n := &topology.Namespace{Type: kind, Ino: uint64(kind), External: true, Owner: user}
		if kind == topology.User {
			user = n
		}
		root.Namespaces[topology.LinkOf(kind)] = n
		g.Namespaces = append(g.Namespaces, n)
	}
	root.Namespaces[topology.PIDForChildren] = root.Namespaces[topology.InPID]
	root.Namespaces[topology.TimeForChildren] = root.Namespaces[topology.InTime]
	g.Tasks = append(g.Tasks, root)
	return g, root
}

// add makes a namespace that the root task's user namespace owns.
func add(g *topology.Graph, kind topology.Type) *topology.Namespace {
	n := &topology.Namespace{Type: kind, Ino: uint64(100 + len(g.Namespaces)), Owner: g.Tasks[0].Namespaces[topology.InUser]}
	if kind.HasParent() {
		n.Parent = g.Tasks[0].Namespaces[topology.LinkOf(kind)]
	}
	g.Namespaces = append(g.Namespaces, n)
	return n
}

// child adds a task that is where the root task is.
func child(g *topology.Graph) *topology.Task {
	c := *g.Tasks[0]
	c.PID, c.TID, c.NSPID, c.Comm = 10+len(g.Tasks), 10+len(g.Tasks), []int{10 + len(g.Tasks)}, "child"
	g.Tasks = append(g.Tasks, &c)
	return &c
}

// The rules by themselves; that they are CRIU's, package test asks CRIU.
func TestOf(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(g *topology.Graph, root *topology.Task)
		want   map[Rule]Verdict
	}{
		{"clean", func(g *topology.Graph, _ *topology.Task) { child(g) }, map[Rule]Verdict{}},
		{"nested", func(g *topology.Graph, _ *topology.Task) {
			child(g).Namespaces[topology.InUTS] = add(g, topology.UTS)
		}, map[Rule]Verdict{Nested: Refuses}},
		{"shared", func(g *topology.Graph, _ *topology.Task) {
			child(g).Namespaces[topology.InNet] = add(g, topology.Net)
		}, map[Rule]Verdict{Shared: Destroys}},
		{"several", func(g *topology.Graph, root *topology.Task) {
			root.Namespaces[topology.InNet] = add(g, topology.Net)
			child(g).Namespaces[topology.InNet] = add(g, topology.Net)
		}, map[Rule]Verdict{}},
		{"creator", func(g *topology.Graph, root *topology.Task) {
			ids := []topology.Extent{{Outside: 1000, Count: 1}}
			u := add(g, topology.User)
			u.User = &topology.UserState{OwnerUID: 1000, UIDMap: ids, GIDMap: ids, Setgroups: "deny"}
			root.Namespaces[topology.InUser] = u
		}, map[Rule]Verdict{Creator: Loses, Setgroups: Loses}},
		{"unmapped", func(g *topology.Graph, root *topology.Task) {
			u := add(g, topology.User)
			u.User = &topology.UserState{Setgroups: "allow"}
			root.Namespaces[topology.InUser] = u
		}, map[Rule]Verdict{NoRoot: Refuses}},
		{"cgroup", func(g *topology.Graph, root *topology.Task) {
			child(g)
			root.Namespaces[topology.InCgroup] = add(g, topology.Cgroup)
			root.Namespaces[topology.InCgroup].Cgroup = &topology.CgroupState{Root: "/x"}
		}, map[Rule]Verdict{CgroupRoot: Loses}},
		{"cgroup of version 1", func(g *topology.Graph, root *topology.Task) {
			root.Namespaces[topology.InCgroup] = add(g, topology.Cgroup)
			root.Namespaces[topology.InCgroup].Cgroup = &topology.CgroupState{Root: "/", V1: true}
		}, map[Rule]Verdict{}},
		{"root cgroup", func(g *topology.Graph, root *topology.Task) {
			child(g)
			root.Namespaces[topology.InCgroup] = add(g, topology.Cgroup)
			root.Namespaces[topology.InCgroup].Cgroup = &topology.CgroupState{Root: "/"}
		}, map[Rule]Verdict{CgroupTop: Loses}},
		{"own descriptor", func(g *topology.Graph, root *topology.Task) {
			host := root.Namespaces[topology.InUTS]
			host.Pins = append(host.Pins, topology.Pin{Kind: topology.PinFD, PID: 10, FD: 3})
			root.Namespaces[topology.InUTS] = add(g, topology.UTS)
		}, map[Rule]Verdict{OwnDesc: Destroys}},
		{"another's descriptor", func(g *topology.Graph, _ *topology.Task) {
			n := add(g, topology.Net)
			n.Pins = append(n.Pins, topology.Pin{Kind: topology.PinFD, PID: 4711, FD: 3})
		}, map[Rule]Verdict{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			g, root := tree()
			test.change(g, root)
			findings, err := Of(g)
			if err != nil {
				t.Fatal(err)
			}
			got := map[Rule]Verdict{}
			for _, f := range findings {
				got[f.Rule] = f.Verdict
				if f.Loss == "" || f.Remedy == "" || len(f.Tasks) == 0 || len(f.Namespaces) == 0 {
					t.Errorf("a finding lacks something: %+v", f)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, err := Of(&topology.Graph{}); !errors.Is(err, ErrNoRoot) {
		t.Errorf("of nothing: %v", err)
	}
}

// What is refused is not destroyed.
func TestOutcome(t *testing.T) {
	g, _ := tree()
	c := child(g)
	c.Namespaces[topology.InNet], c.Namespaces[topology.InIPC] = add(g, topology.Net), add(g, topology.IPC)
	findings, err := Of(g)
	if err != nil || Outcome(findings) != Refuses || len(findings) != 2 {
		t.Errorf("%v, %v", findings, err)
	}
}

// What no task of the tree was in, tasks may come to be in.
func TestRestoredCgroup(t *testing.T) {
	g, root := tree()
	own := root.Namespaces[topology.InCgroup]
	g.Namespaces = slices.DeleteFunc(g.Namespaces, func(n *topology.Namespace) bool { return n == own })
	root.Namespaces[topology.InCgroup] = add(g, topology.Cgroup)
	root.Namespaces[topology.InCgroup].Cgroup = &topology.CgroupState{Root: "/"}
	child(g)
	after, err := Restored(g)
	if err != nil {
		t.Fatal(err)
	}
	in := after.Tasks[0].Namespaces[topology.InCgroup]
	if in == nil || !in.External || after.Tasks[1].Namespaces[topology.InCgroup] != in || !slices.Contains(after.Namespaces, in) {
		t.Errorf("the tasks are in %+v", in)
	}
}
