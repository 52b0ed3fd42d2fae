package topology_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	. "github.com/renest/renest/topology"
	"github.com/renest/renest/topology/topologytest"
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
			if d := time.Since(start); d > 30*time.Second {
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

func TestIndex(t *testing.T) {
	x := newNest()
	i := x.g.Index()
	list := func(l []*Namespace) (out []string) {
		for _, n := range l {
			out = append(out, n.Name())
		}
		return out
	}
	if got := i.Lookup(UTS, 30); got != x.uts {
		t.Errorf("Lookup(uts, 30) = %v", got)
	}
	if got := i.Lookup(UTS, 31); got != nil {
		t.Errorf("Lookup(uts, 31) = %v", got)
	}
	if i.Contains(&Namespace{Type: UTS, Ino: 30}) || !i.Contains(x.uts) {
		t.Error("Contains goes by something else than identity")
	}
	want := []string{"user:[12]", "pid:[20]", "uts:[30]", "mnt:[33]"}
	if diff := cmp.Diff(want, list(i.Owned(x.a))); diff != "" {
		t.Errorf("Owned (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"pid:[21]"}, list(i.Children(x.pidA))); diff != "" {
		t.Errorf("Children (-want +got):\n%s", diff)
	}
	if got := i.Owned(&Namespace{}); got != nil {
		t.Errorf("Owned of a stranger: %v", got)
	}
}

func TestHierarchy(t *testing.T) {
	x := newNest()
	for _, tt := range []struct {
		a, b *Namespace
		want bool
	}{
		{x.host, x.c, true},
		{x.a, x.c, true},
		{x.b, x.c, false},
		{x.c, x.c, false},
		{x.c, x.a, false},
		{nil, x.a, false},
		{x.a, nil, false},
	} {
		if got := IsAncestor(tt.a, tt.b); got != tt.want {
			t.Errorf("IsAncestor(%v, %v) = %v", tt.a, tt.b, got)
		}
	}
	if got := x.pidC.Level(); got != 2 {
		t.Errorf("level of %s is %d", x.pidC.Name(), got)
	}
}

func TestParseName(t *testing.T) {
	for _, tt := range []struct {
		text, want string
	}{
		{"net:[4026531840]", "net 4026531840"},
		{"net:4026531840", `parse namespace "net:4026531840": not of the form net:[4026531840]`},
		{"net:[x]", `parse namespace "net:[x]": "x" is no inode number`},
		{"nte:[1]", `parse namespace "nte:[1]": unknown namespace type "nte" ` +
			`(known: user, mnt, uts, ipc, pid, cgroup, net, time)`},
	} {
		typ, ino, err := ParseName(tt.text)
		got := fmt.Sprint(typ, " ", ino)
		if err != nil {
			got = err.Error()
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("ParseName(%q) (-want +got):\n%s", tt.text, diff)
		}
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
