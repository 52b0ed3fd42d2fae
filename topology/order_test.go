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

func TestSortCreation(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 3))
		g := topologytest.Random(rng, topologytest.Options{Tasks: true})
		want := names(g)
		rng.Shuffle(len(g.Namespaces), func(i, j int) {
			g.Namespaces[i], g.Namespaces[j] = g.Namespaces[j], g.Namespaces[i]
		})
		rng.Shuffle(len(g.Tasks), func(i, j int) { g.Tasks[i], g.Tasks[j] = g.Tasks[j], g.Tasks[i] })
		if err := g.SortCreation(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if diff := cmp.Diff(want, names(g)); diff != "" {
			t.Fatalf("seed %d: order depends on the input's (-want +got):\n%s", seed, diff)
		}
		seen := map[*Namespace]bool{nil: true}
		for _, n := range g.Namespaces {
			if !seen[n.Owner] || !seen[n.Parent] {
				t.Fatalf("seed %d: %s comes before its owner or parent", seed, n.Name())
			}
			seen[n] = true
		}
	}
}

// names lists namespaces and tasks in the graph's order.
func names(g *Graph) (out []string) {
	for _, n := range g.Namespaces {
		out = append(out, n.Name())
	}
	for _, t := range g.Tasks {
		out = append(out, fmt.Sprint("task ", t.PID, t.TID))
	}
	return out
}

func TestSortCreationRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(x *nest)
		want   string
	}{
		{
			name: "circle", change: func(x *nest) { x.a.Owner, x.a.Parent = x.c, x.c },
			want: "sort namespaces: owners and parents of user:[10] go in a circle",
		},
		{
			name: "outside", change: func(x *nest) { x.net.Owner = &Namespace{} },
			want: "sort namespaces: the owner or parent of net:[32] is not in the graph",
		},
		{
			name: "nil", change: func(x *nest) { x.g.Namespaces[1] = nil },
			want: "sort namespaces: one of them or of the tasks is nil",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := newNest()
			tt.change(x)
			before := slices.Clone(x.g.Namespaces)
			got := ""
			if err := x.g.SortCreation(); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("SortCreation (-want +got):\n%s", diff)
			}
			if !slices.Equal(before, x.g.Namespaces) {
				t.Error("the graph was changed")
			}
		})
	}
}

// TestSortCreationRest: pins, tasks and what is missing have an order too.
func TestSortCreationRest(t *testing.T) {
	x := newNest()
	pins := []Pin{
		{Kind: PinTask, PID: 5},
		{Kind: PinTask, PID: 9},
		{Kind: PinThread, PID: 5, TID: 6},
		{Kind: PinThread, PID: 5, TID: 7},
		{Kind: PinFD, PID: 5, FD: 3},
		{Kind: PinFD, PID: 5, FD: 4},
		{Kind: PinBind, Path: "/a"},
		{Kind: PinBind, Path: "/a", Mnt: x.mnt},
		{Kind: PinBind, Path: "/b"},
		{Kind: PinOwned, NS: x.uts},
		{Kind: PinOwned, NS: x.net},
	}
	tasks := []*Task{{PID: 1, TID: 1}, {PID: 1, TID: 2}, {PID: 3, TID: 3}}
	missing := []string{"a", "b", "c"}
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 30))
		x.mnt.Pins, x.g.Tasks, x.g.Header.Missing = slices.Clone(pins), slices.Clone(tasks), slices.Clone(missing)
		rng.Shuffle(len(pins), func(i, j int) { x.mnt.Pins[i], x.mnt.Pins[j] = x.mnt.Pins[j], x.mnt.Pins[i] })
		rng.Shuffle(3, func(i, j int) { x.g.Tasks[i], x.g.Tasks[j] = x.g.Tasks[j], x.g.Tasks[i] })
		rng.Shuffle(3, func(i, j int) {
			x.g.Header.Missing[i], x.g.Header.Missing[j] = x.g.Header.Missing[j], x.g.Header.Missing[i]
		})
		if err := x.g.SortCreation(); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(pins, x.mnt.Pins) {
			t.Fatalf("seed %d: pins %v", seed, x.mnt.Pins)
		}
		if diff := cmp.Diff(tasks, x.g.Tasks); diff != "" {
			t.Fatalf("seed %d: tasks (-want +got):\n%s", seed, diff)
		}
		if diff := cmp.Diff(missing, x.g.Header.Missing); diff != "" {
			t.Fatalf("seed %d: missing (-want +got):\n%s", seed, diff)
		}
	}
}

// TestSortCreationRanks: by type, then id, then inode number, but for edges.
func TestSortCreationRanks(t *testing.T) {
	host := &Namespace{Type: User, Ino: 9, ID: 9, External: true}
	child := &Namespace{Type: User, Ino: 1, ID: 1, Owner: host, Parent: host}
	sibling := &Namespace{Type: User, Ino: 2, ID: 0, Owner: host, Parent: host}
	first := &Namespace{Type: Net, Ino: 8, ID: 3, Owner: child}
	second := &Namespace{Type: Net, Ino: 7, ID: 4, Owner: host}
	third := &Namespace{Type: Net, Ino: 10, ID: 4, Owner: host}
	mnt := &Namespace{Type: Mnt, Ino: 99, ID: 99, Owner: child}
	want := &Graph{Namespaces: []*Namespace{host, sibling, child, mnt, first, second, third}}
	g := &Graph{Namespaces: []*Namespace{third, second, first, mnt, child, sibling, host}}
	if err := g.SortCreation(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(names(want), names(g)); diff != "" {
		t.Errorf("SortCreation (-want +got):\n%s", diff)
	}
}

// TestNames: each type, state, link and kind of pin has a name of its own, and
// those that are parsed come back.
func TestNames(t *testing.T) {
	for _, typ := range Types {
		if got, err := ParseType(typ.String()); got != typ || err != nil {
			t.Errorf("ParseType(%q) = %v, %v", typ, got, err)
		}
		if got := LinkOf(typ).Type(); got != typ {
			t.Errorf("the type of the link of %v is %v", typ, got)
		}
	}
	for s := Active; s <= Unborn; s++ {
		if got, err := ParseState(s.String()); got != s || err != nil {
			t.Errorf("ParseState(%q) = %v, %v", s, got, err)
		}
	}
	if _, err := ParseState("asleep"); err == nil {
		t.Error("ParseState takes anything")
	}
	seen := map[string]bool{}
	for l := InUser; l < NumLinks; l++ {
		seen[l.String()] = true
	}
	if len(seen) != NumLinks {
		t.Errorf("links have the names %v", seen)
	}
	clear(seen)
	for k := PinTask; k <= PinInFlight; k++ {
		seen[k.String()] = true
	}
	if len(seen) != 10 || seen[""] {
		t.Errorf("pins have the names %v", seen)
	}
	for got, want := range map[string]string{
		Type(0).String(): "type(0)", State(9).String(): "state(9)",
		PinKind(0).String(): "pin(0)", PinKind(11).String(): "pin(11)",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
