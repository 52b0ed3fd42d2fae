package topology_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	. "github.com/renest/renest/topology"
)

func TestDifference(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(x *nest)
		want   []string
	}{
		{
			name: "owner", change: func(x *nest) { x.net.Owner = x.b },
			want: []string{
				"net:[32] (owner user:[12]) has no counterpart, net:[32] comes closest: owner is user:[12], not user:[11]",
				"net:[32] (owner user:[11]) has no counterpart, net:[32] comes closest: owner is user:[11], not user:[12]",
			},
		},
		{
			name: "map", change: func(x *nest) { x.b.User.UIDMap[0].Count = 7 },
			want: []string{
				"user:[11] (owner user:[4026531837]) has no counterpart, user:[11] comes closest: uid map is 0→300000+1000, not 0→300000+7",
				"user:[11] (owner user:[4026531837]) has no counterpart, user:[11] comes closest: uid map is 0→300000+7, not 0→300000+1000",
			},
		},
		{
			name: "names and offsets",
			change: func(x *nest) {
				x.uts.UTS.NodeName = "other"
				x.time.Time.Boottime = Offset{Sec: -1, Nsec: 5e8}
			},
			want: []string{
				`time:[31] (owner user:[11]) has no counterpart, time:[31] comes closest: boottime offset is 86400, not -0.5`,
				`uts:[30] (owner user:[10]) has no counterpart, uts:[30] comes closest: host name is "box", not "other"`,
				`time:[31] (owner user:[11]) has no counterpart, time:[31] comes closest: boottime offset is -0.5, not 86400`,
				`uts:[30] (owner user:[10]) has no counterpart, uts:[30] comes closest: host name is "other", not "box"`,
			},
		},
		{
			name: "one more", change: func(x *nest) {
				x.g.Namespaces = append(x.g.Namespaces, &Namespace{Type: IPC, Ino: 99, Owner: x.b})
			},
			want: []string{"ipc:[99] (owner user:[11]) has no counterpart: 1 ipc namespaces here, 0 there"},
		},
		{
			// What is below a thing that was moved is not what differs.
			name: "moved with all below it", change: func(x *nest) { x.c.Owner, x.c.Parent = x.b, x.b },
			want: []string{
				"user:[12] (owner user:[10]) has no counterpart, user:[12] comes closest: owner is user:[10], not user:[11]",
				"user:[12] (owner user:[11]) has no counterpart, user:[12] comes closest: owner is user:[11], not user:[10]",
			},
		},
		{
			// Nor are the many like it that are where they should be.
			name: "one more where there are others", change: func(x *nest) {
				x.g.Namespaces = slices.Insert(x.g.Namespaces, 8, &Namespace{Type: Net, Ino: 99, Owner: x.b})
			},
			want: []string{"net:[99] (owner user:[11]) has no counterpart: 2 net namespaces here, 1 there"},
		},
		{
			name: "task", change: func(x *nest) { x.task.Namespaces[InUser] = x.c },
			want: []string{
				"task 100 (init) has no counterpart, task 100 comes closest: user is user:[10], not user:[12]",
				"task 100 (init) has no counterpart, task 100 comes closest: user is user:[12], not user:[10]",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := newNest(), newNest()
			tt.change(b)
			_, err := Isomorphic(a.g, b.g, withTasks)
			var d *Difference
			if !errors.As(err, &d) {
				t.Fatalf("Isomorphic: %v", err)
			}
			var got []string
			for _, u := range slices.Concat(d.First, d.Second) {
				got = append(got, u.String())
			}
			slices.Sort(got)
			slices.Sort(tt.want)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestDifferenceBelow: what differs is what hangs on two namespaces; those they
// hang on themselves are not named.
func TestDifferenceBelow(t *testing.T) {
	build := func(left, right int) *Graph {
		g := chain(User, 1)
		top := g.Namespaces[1]
		for i, n := range []int{left, right} {
			u := &Namespace{Type: User, Ino: uint64(10 + i), Owner: top, Parent: top}
			g.Namespaces = append(g.Namespaces, u)
			for k := range n {
				g.Namespaces = append(g.Namespaces, &Namespace{Type: IPC, Ino: uint64(20 + 10*i + k), Owner: u})
			}
		}
		return g
	}
	_, err := Isomorphic(build(2, 2), build(3, 1), CompareOptions{})
	var d *Difference
	if !errors.As(err, &d) {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, u := range d.First {
		got[u.String()] = true
	}
	want := map[string]bool{
		"user:[10] (owner user:[2]) has no counterpart, user:[10] comes closest: what it holds is 2 ipc, not 3 ipc": true,
		"user:[11] (owner user:[2]) has no counterpart, user:[11] comes closest: what it holds is 2 ipc, not 1 ipc": true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
