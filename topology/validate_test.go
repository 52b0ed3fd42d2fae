package topology_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	. "github.com/renest/renest/topology"
)

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(x *nest)
		want   []string // the reasons; none for a valid graph
	}{
		{name: "as it is", change: func(*nest) {}},
		{
			name:   "nil namespace",
			change: func(x *nest) { x.g.Namespaces[3] = nil },
			want:   []string{"namespace 4 of 11 is nil"},
		},
		{
			name:   "unknown type",
			change: func(x *nest) { x.net.Type = 9 },
			want:   []string{"type(9):[32]: unknown type of namespace"},
		},
		{
			name:   "twice",
			change: func(x *nest) { x.g.Namespaces = append(x.g.Namespaces, x.net) },
			want:   []string{"net:[32]: in the graph more than once"},
		},
		{
			name:   "one id for two",
			change: func(x *nest) { x.net.ID, x.mnt.ID = 7, 7 },
			want:   []string{"mnt:[33]: has the namespace id 7 of net:[32]"},
		},
		{
			name:   "owner outside",
			change: func(x *nest) { x.net.Owner = &Namespace{Type: User, Ino: 99} },
			want:   []string{"net:[32]: its owner is not in the graph"},
		},
		{
			name:   "owner missing",
			change: func(x *nest) { x.net.Owner = nil },
			want:   []string{"net:[32]: has no owner, and the graph is said to be complete"},
		},
		{
			name:   "owner out of sight",
			change: func(x *nest) { x.net.Owner = nil; x.pidA.Parent = nil; x.g.Header.Complete = false },
		},
		{
			name:   "owner of another type",
			change: func(x *nest) { x.net.Owner = x.mnt },
			want:   []string{"net:[32]: its owner mnt:[33] is no user namespace"},
		},
		{
			name:   "external below what is not",
			change: func(x *nest) { x.net.External = true; x.pidC.External = true },
			want: []string{
				"pid:[21]: is external, its owner user:[12] is not",
				"pid:[21]: is external, its parent pid:[20] is not",
				"net:[32]: is external, its owner user:[12] is not",
			},
		},
		{
			name:   "owner is not the parent",
			change: func(x *nest) { x.c.Owner = x.b; x.b.Parent = nil },
			want: []string{
				"user:[11]: its owner user:[4026531837] is not its parent (none)",
				"user:[12]: its owner user:[11] is not its parent user:[10]",
			},
		},
		{
			name:   "parent of what has none",
			change: func(x *nest) { x.net.Parent = x.c },
			want:   []string{"net:[32]: has a parent, which only user and pid namespaces have"},
		},
		{
			name:   "parent of another type",
			change: func(x *nest) { x.pidC.Parent = x.net },
			want:   []string{"pid:[21]: its parent net:[32] is of another type"},
		},
		{
			name:   "parent outside",
			change: func(x *nest) { x.pidC.Parent = &Namespace{Type: PID} },
			want:   []string{"pid:[21]: its parent is not in the graph"},
		},
		{
			name:   "parent missing",
			change: func(x *nest) { x.pidC.Parent = nil },
			want:   []string{"pid:[21]: has no parent, and the graph is said to be complete"},
		},
		{
			name: "cycle",
			change: func(x *nest) {
				x.a.Owner, x.a.Parent = x.c, x.c
			},
			want: []string{"owners and parents go in a circle: user:[10] → user:[12] → user:[10] " +
				"(7 namespaces in a circle or below one)"},
		},
		{
			name:   "its own parent",
			change: func(x *nest) { x.pidC.Parent = x.pidC },
			want: []string{"owners and parents go in a circle: pid:[21] → pid:[21] " +
				"(1 namespaces in a circle or below one)"},
		},
		{
			name:   "pid owner of another branch",
			change: func(x *nest) { x.pidC.Owner = x.b },
			want: []string{"pid:[21]: its owner user:[11] is not below user:[10], " +
				"which owns its parent pid:[20]"},
		},
		{
			name:   "pid owner above the parent's",
			change: func(x *nest) { x.pidC.Owner = x.host },
			want: []string{"pid:[21]: its owner user:[4026531837] is not below user:[10], " +
				"which owns its parent pid:[20]"},
		},
		{name: "pid owner further down", change: func(x *nest) { x.pidA.Owner = x.c }},
		{
			name:   "bad map",
			change: func(x *nest) { x.b.User.UIDMap = []Extent{{0, 0, 0}} },
			want:   []string{"user:[11]: uid map: extent 1 (0 0 0): its count is zero"},
		},
		{
			name:   "map across the parent's extents",
			change: func(x *nest) { x.c.User.GIDMap = []Extent{{5, 7, 1}, {0, 998, 3}} },
			want: []string{"user:[12]: gid map: extent 2 (0 998 3) is not inside one extent " +
				"of its parent user:[10]"},
		},
		{
			name:   "map of what the parent lacks",
			change: func(x *nest) { x.c.User.UIDMap = []Extent{{0, 2000, 1}} },
			want: []string{"user:[12]: uid map: extent 1 (0 2000 1) is not inside one extent " +
				"of its parent user:[10]"},
		},
		{
			name:   "creator that the parent lacks",
			change: func(x *nest) { x.c.User.OwnerUID = 2000; x.b.User.OwnerUID = 2000 },
			want:   []string{"user:[12]: its creator's uid 2000 is not mapped in its parent user:[10]"},
		},
		{
			name:   "child of one without a gid map",
			change: func(x *nest) { x.a.User.GIDMap = nil; x.b.Owner, x.b.Parent = x.a, x.a },
			want: []string{"user:[10]: has the child user:[11], and an empty uid or gid map, " +
				"with which it could not be made"},
		},
		{name: "owner without maps", change: func(x *nest) { x.c.User.UIDMap, x.c.User.GIDMap = nil, nil }},
		{name: "maps unread", change: func(x *nest) { x.a.User = nil }},
		{
			name:   "setgroups",
			change: func(x *nest) { x.a.User.Setgroups = "deny"; x.b.User.Setgroups = "maybe" },
			want: []string{
				`user:[11]: setgroups is "maybe", neither allow nor deny`,
				"user:[12]: setgroups is allow, below user:[10], which denies it",
			},
		},
		{
			name: "names",
			change: func(x *nest) {
				x.uts.UTS = &UTSState{NodeName: strings.Repeat("x", 65), DomainName: "a\x00b"}
			},
			want: []string{
				"uts:[30]: its host name has 65 bytes, the kernel takes 64",
				"uts:[30]: its domain name has a NUL byte",
			},
		},
		{
			name: "offsets",
			change: func(x *nest) {
				x.time.Time = &TimeState{Monotonic: Offset{Nsec: 1e9}, Boottime: Offset{Sec: -1 << 62}}
			},
			want: []string{
				"time:[31]: its monotonic offset has 1000000000 nanoseconds, a second or more",
				"time:[31]: its boottime offset of -4611686018427387904 seconds is out of the kernel's range",
			},
		},
		{
			name:   "states",
			change: func(x *nest) { x.net.State = Dead; x.mnt.State = 77; x.pidC.State = Unborn },
			want: []string{
				"net:[32]: is said to be dead, which only a pid namespace can be",
				"mnt:[33]: unknown state 77",
			},
		},
		{
			name:   "state of another type",
			change: func(x *nest) { x.net.UTS = &UTSState{} },
			want:   []string{"net:[32]: holds what only a uts namespace can"},
		},
		{
			name: "pins",
			change: func(x *nest) {
				x.net.Pins = []Pin{{Kind: PinTask, PID: 1}, {}, {Kind: PinBind, Mnt: x.uts}}
				x.mnt.Pins = []Pin{{Kind: PinOwned, NS: &Namespace{}}, {Kind: PinBind, Mnt: &Namespace{}}}
			},
			want: []string{
				"net:[32]: has a pin of the unknown kind 0",
				"net:[32]: is pinned in uts:[30], which is no mount namespace",
				"mnt:[33]: is pinned by a namespace that is not in the graph",
				"mnt:[33]: is pinned in a mount namespace that is not in the graph",
			},
		},
		{
			name: "tasks",
			change: func(x *nest) {
				x.task.Namespaces[InNet] = &Namespace{Type: Net}
				x.task.Namespaces[PIDForChildren] = x.net
				x.g.Tasks = append(x.g.Tasks, nil, &Task{PID: -4})
			},
			want: []string{
				"task 100: its net leads to a namespace that is not in the graph",
				"task 100: its pid_for_children leads to net:[32]",
				"task 2 of 3 is nil",
				"task -4 (thread 0, 0 levels): no task has such numbers",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := newNest()
			tt.change(x)
			if diff := cmp.Diff(tt.want, reasons(x.g.Validate())); diff != "" {
				t.Errorf("Validate (-want +got):\n%s", diff)
			}
		})
	}
}

func reasons(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

func TestValidateDepth(t *testing.T) {
	for _, tt := range []struct {
		t     Type
		depth int
		want  []string
	}{
		{t: User, depth: 33},
		{t: PID, depth: 32},
		{t: User, depth: 40, want: []string{
			"user:[35]: is 34 levels below user:[4026531837], the kernel nests user namespaces 33 deep",
		}},
		{t: PID, depth: 33, want: []string{
			"pid:[34]: is 33 levels below pid:[4026531836], the kernel nests pid namespaces 32 deep",
		}},
	} {
		t.Run(fmt.Sprint(tt.t, tt.depth), func(t *testing.T) {
			if diff := cmp.Diff(tt.want, reasons(chain(tt.t, tt.depth).Validate())); diff != "" {
				t.Errorf("Validate (-want +got):\n%s", diff)
			}
		})
	}
}

// TestHostile: a million namespaces in a chain, or many in a circle, take a
// moment and a screenful. The deadline is far above what it takes, and far below what a
// quadratic walk would.
func TestHostile(t *testing.T) {
	if testing.Short() {
		t.Skip("short: hostile graphs of a million namespaces")
	}
	const million, n = 1_000_000, 200_000
	for _, tt := range []struct {
		name string
		make func() *Graph
		want int // reasons, with the one that counts the rest
	}{
		{name: "chain of user", want: 1, make: func() *Graph { return chain(User, million) }},
		{name: "chain of pid", want: 1, make: func() *Graph { return chain(PID, n) }},
		{name: "circle", want: 1, make: func() *Graph {
			g := chain(User, n)
			last := g.Namespaces[n]
			g.Namespaces[1].Owner, g.Namespaces[1].Parent = last, last
			return g
		}},
		{name: "all faulty", want: 21, make: func() *Graph {
			g := chain(User, n)
			for _, ns := range g.Namespaces[1:] {
				ns.Owner, ns.Parent, ns.State = g.Namespaces[0], g.Namespaces[0], 99
			}
			return g
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := tt.make()
			start := time.Now()
			got := reasons(g.Validate())
			if d := time.Since(start); d > 3*time.Minute {
				t.Errorf("took %v", d)
			}
			if len(got) != tt.want || len(strings.Join(got, "\n")) > 4096 {
				t.Errorf("%d reasons, want %d: %.2000q", len(got), tt.want, got)
			}
			last := g.Namespaces[len(g.Namespaces)-1]
			_, _ = last.Level(), IsAncestor(g.Namespaces[0], last)
			_ = g.SortCreation()
		})
	}
}
