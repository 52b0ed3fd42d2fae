package restore_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
	"github.com/renest/renest/topology/topologytest"
)

func TestParseIDRange(t *testing.T) {
	for _, tt := range []struct {
		text string
		want restore.IDRange
		err  string
	}{
		{text: "200000:65536", want: restore.IDRange{First: 200000, Count: 65536}},
		{text: "0:4294967295", want: restore.IDRange{Count: 4294967295}},
		{text: "1:4294967295", err: "ids end at 4294967294"},
		{text: "5:0", err: "empty"},
		{text: "5", err: "want FIRST:COUNT"},
		{text: "-1:5", err: "want FIRST:COUNT"},
		{text: "1:5:6", err: "want FIRST:COUNT"},
		{text: "", err: "want FIRST:COUNT"},
	} {
		got, err := restore.ParseIDRange(tt.text)
		if tt.err != "" {
			wantError(t, err, tt.text, tt.err)
			continue
		}
		if err != nil || got != tt.want || got.String() != tt.text {
			t.Errorf("%q: %v, %v", tt.text, got, err)
		}
	}
}

// TestMovedIDs wants the ids of the outermost user namespaces in another range,
// and what they share still shared.
func TestMovedIDs(t *testing.T) {
	type extents = []topology.Extent
	user, _, _ := outer()
	// As podman maps them: uid 1000's own, and 65536 of its subordinate ones.
	mixed := topology.UserState{
		OwnerUID: 1000, Setgroups: "allow",
		UIDMap: extents{{Outside: 1000, Count: 1}, {Inside: 1, Outside: 100000, Count: 65536}},
		GIDMap: extents{{Outside: 985, Count: 1}, {Inside: 1, Outside: 100000, Count: 65536}},
	}
	byRoot := func(uids extents) topology.UserState {
		return topology.UserState{UIDMap: uids, GIDMap: uids, Setgroups: "allow"}
	}
	for _, tt := range []struct {
		name  string
		maps  []topology.UserState
		to    restore.IDRange
		user  bool // an ordinary one, 2000:2001
		want  []topology.UserState
		error string
	}{
		{
			name: "one", to: restore.IDRange{First: 300000, Count: 65536},
			maps: []topology.UserState{byRoot(extents{{Outside: 100000, Count: 65536}})},
			want: []topology.UserState{byRoot(extents{{Outside: 300000, Count: 65536}})},
		},
		{
			name: "too small", to: restore.IDRange{First: 300000, Count: 65535},
			maps:  []topology.UserState{byRoot(extents{{Outside: 100000, Count: 65536}})},
			error: "the image needs 65536 uids",
		},
		{
			name: "shared and not", to: restore.IDRange{First: 10, Count: 100},
			maps: []topology.UserState{
				byRoot(extents{{Outside: 5000, Count: 10}}),
				byRoot(extents{{Outside: 9000, Count: 10}}),
				byRoot(extents{{Inside: 7, Outside: 5005, Count: 10}, {Inside: 90, Outside: 1, Count: 1}}),
			},
			want: []topology.UserState{
				byRoot(extents{{Outside: 11, Count: 10}}),
				byRoot(extents{{Outside: 26, Count: 10}}),
				byRoot(extents{{Inside: 7, Outside: 16, Count: 10}, {Inside: 90, Outside: 10, Count: 1}}),
			},
		},
		{
			name: "an ordinary user's, as root", to: restore.IDRange{First: 300000, Count: 65537},
			maps: []topology.UserState{mixed},
			want: []topology.UserState{{
				OwnerUID: 300000, Setgroups: "allow",
				UIDMap: extents{{Outside: 300000, Count: 1}, {Inside: 1, Outside: 300001, Count: 65536}},
				GIDMap: extents{{Outside: 300000, Count: 1}, {Inside: 1, Outside: 300001, Count: 65536}},
			}},
		},
		{
			name: "an ordinary user's, as another", to: restore.IDRange{First: 300000, Count: 65536}, user: true,
			maps: []topology.UserState{mixed},
			want: []topology.UserState{{
				OwnerUID: 2000, Setgroups: "allow",
				UIDMap: extents{{Outside: 2000, Count: 1}, {Inside: 1, Outside: 300000, Count: 65536}},
				GIDMap: extents{{Outside: 2001, Count: 1}, {Inside: 1, Outside: 300000, Count: 65536}},
			}},
		},
		{
			name: "root's, as an ordinary user", to: restore.IDRange{First: 300000, Count: 65536}, user: true,
			maps: []topology.UserState{byRoot(extents{{Outside: 100000, Count: 65536}})},
			want: []topology.UserState{{
				OwnerUID: 2000, Setgroups: "allow",
				UIDMap: extents{{Outside: 300000, Count: 65536}},
				GIDMap: extents{{Outside: 300000, Count: 65536}},
			}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := graphOf(user)
			for i, state := range tt.maps {
				g.Namespaces = append(g.Namespaces, below(user, 10+uint64(i), state))
			}
			before := g.Clone()
			o := restore.PlanOptions{Privileged: true, IDs: &tt.to}
			if tt.user {
				o.Privileged, o.UID, o.GID = false, 2000, 2001
			}
			p, err := restore.NewPlan(g, o)
			if tt.error != "" {
				wantError(t, err, tt.error)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []topology.UserState
			for _, n := range p.Made() {
				got = append(got, *n.User)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("maps (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, g); diff != "" {
				t.Errorf("the graph itself changed:\n%s", diff)
			}
		})
	}
}

// TestMovedIDsAnywhere moves the ids of random trees, whose inner maps have to
// fit all the same.
func TestMovedIDsAnywhere(t *testing.T) {
	for seed := range some(100, 500) {
		g := topologytest.Random(rand.New(rand.NewPCG(seed, 6)), topologytest.Options{Tasks: true})
		o := restore.PlanOptions{Privileged: true, IDs: &restore.IDRange{First: 1 << 30, Count: 3 << 30}}
		p := simulateWith(t, fmt.Sprintf("seed %d", seed), g, o)
		if err := p.Graph.Validate(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, n := range p.Made() {
			if n.Type != topology.User || !n.Parent.External {
				continue
			}
			for _, e := range append(n.User.UIDMap, n.User.GIDMap...) {
				if e.Outside < 1<<30 {
					t.Errorf("seed %d: %s maps %s", seed, n.Name(), e)
				}
			}
		}
	}
}

// TestBoundAnywhere has the first processes of random trees in external
// namespaces that others stand for, and in some that need not be made.
func TestBoundAnywhere(t *testing.T) {
	for seed := range some(200, 1000) {
		rng := rand.New(rand.NewPCG(seed, 7))
		g := topologytest.Random(rng, topologytest.Options{Tasks: true})
		scatter(rng, g)
		o := restore.PlanOptions{Privileged: true, External: map[string]string{}}
		for i, typ := range []topology.Type{topology.Net, topology.Mnt, topology.UTS, topology.Net} {
			n := &topology.Namespace{Type: typ, Ino: 700 + uint64(i), External: true}
			g.Namespaces = append(g.Namespaces, n)
			o.External[n.Name()] = "/run/x"
			for _, task := range g.Tasks {
				if rng.IntN(4) == 0 {
					task.Namespaces[topology.LinkOf(typ)] = n
				}
			}
		}
		for _, n := range g.Namespaces {
			if !n.Type.HasParent() && !n.External && rng.IntN(5) == 0 {
				o.External[n.Name()] = "/run/y"
			}
		}
		if err := g.SortCreation(); err != nil {
			t.Fatal(err)
		}
		what := fmt.Sprintf("seed %d", seed)
		p := simulateWith(t, what, g, o)
		for _, n := range homesick(p) {
			if !strings.Contains(strings.Join(p.Notes, "\n"), n.Name()) {
				logSteps(t, p)
				t.Fatalf("%s: the holder of %s is not where it should be", what, n.Name())
			}
		}
		if len(p.Bound) != len(o.External) {
			t.Errorf("%s: %d of %d are bound", what, len(p.Bound), len(o.External))
		}
		for _, n := range p.Made() {
			if o.External[n.Name()] != "" {
				t.Errorf("%s: %s is made", what, n.Name())
			}
		}
	}
}

func TestBindRefused(t *testing.T) {
	user, pid, net := outer()
	g := graphOf(user, pid, net)
	_, err := restore.NewPlan(g, restore.PlanOptions{Privileged: true, External: map[string]string{
		"pid:[2]": "7/pid", "user:[1]": "7/user", "net:[99]": "/run/netns/x", "net:99": "x", "bus:[3]": "x",
	}})
	want := []string{
		`external "bus:[3]": parse namespace "bus:[3]": unknown namespace type "bus" (known: user, mnt, uts, ipc, pid, cgroup, net, time)`,
		`external "net:99": parse namespace "net:99": not of the form net:[4026531840]`,
		"external net:[99]: the image has no such namespace",
		"external pid:[2]: a tree is made below the caller's own pid namespace: restore from within 7/pid (renest enter 7/pid -- renest restore …)",
		"external user:[1]: a tree is made below the caller's own user namespace: restore from within 7/user (renest enter 7/user -- renest restore …)",
	}
	if diff := cmp.Diff(want, reasons(err)); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
}

// TestPreflightOfBound judges what stands for external namespaces.
func TestPreflightOfBound(t *testing.T) {
	user, pid, net := outer()
	uts := &topology.Namespace{Type: topology.UTS, Ino: 4, External: true, Owner: user}
	p, err := restore.NewPlan(graphOf(user, pid, net, uts), restore.PlanOptions{External: map[string]string{"net:[3]": "/x", "uts:[4]": "7/uts"}})
	if err != nil {
		t.Fatal(err)
	}
	host := roots()
	host.Bound = map[string]restore.Target{"/x": {Type: topology.IPC, Ino: 5}, "7/uts": {Err: errors.New("no such process")}}
	want := []string{
		"external net:[3]=/x: ipc:[5] is no net namespace",
		"external uts:[4]=7/uts: no such process",
	}
	if diff := cmp.Diff(want, reasons(restore.Preflight(p, host))); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
	host = ordinary()
	host.Bound = map[string]restore.Target{"/x": {Type: topology.Net}, "7/uts": {Type: topology.UTS}}
	want = []string{
		"external net:[3]=/x: entering it needs CAP_SYS_ADMIN: restore as root",
		"external uts:[4]=7/uts: entering it needs CAP_SYS_ADMIN: restore as root",
	}
	if diff := cmp.Diff(want, reasons(restore.Preflight(p, host))); diff != "" {
		t.Errorf("reasons of an ordinary user (-want +got):\n%s", diff)
	}
}
