package topology_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	. "github.com/renest/renest/topology"
	"github.com/renest/renest/topology/topologytest"
)

// big adds to a nest what trees have to show: all of the host's namespaces,
// states, names, tasks, threads and long maps.
func big() *nest {
	x := newNest()
	for i, t := range Types {
		if t != User && t != PID {
			x.g.Namespaces = append(x.g.Namespaces, &Namespace{Type: t, Ino: uint64(100 + i), Owner: x.host, External: true})
		}
	}
	for _, n := range x.g.Namespaces {
		if !n.Initial() {
			n.Ino += 4026531000
		}
	}
	x.uts.UTS.DomainName = "example.org"
	x.time.Time.Monotonic = Offset{Sec: -2, Nsec: 5e8}
	x.b.User.OwnerUID = 1000
	x.b.User.GIDMap = []Extent{{0, NoID, 1}}
	x.c.User = &UserState{}
	x.a.User.UIDMap = nil
	for i := range uint32(10) {
		x.a.User.UIDMap = append(x.a.User.UIDMap, Extent{i * 1000, 100000 + 2000*i, 1000})
	}
	x.a.User.GIDMap = x.a.User.UIDMap
	dead := &Namespace{Type: PID, Ino: 4026531050, Owner: x.c, Parent: x.pidA, State: Dead}
	unborn := &Namespace{Type: PID, Ino: 4026531051, Owner: x.c, Parent: x.pidC, State: Unborn}
	hidden := &Namespace{Type: User, Ino: 4026531052, Owner: x.host, Parent: x.host, State: Hidden}
	cgroup := &Namespace{Type: Cgroup, Ino: 4026531053, Owner: hidden, Cgroup: &CgroupState{Root: "/user.slice"}}
	x.g.Namespaces = append(x.g.Namespaces, dead, unborn, hidden, cgroup)
	for i := range 4 {
		t := &Task{PID: 200 + i, TID: 200 + i, NSPID: []int{200 + i, 2 + i, 1 + i}, Comm: "work"}
		t.Namespaces = x.task.Namespaces
		t.Namespaces[InPID], t.Namespaces[InUser], t.Namespaces[InNet] = x.pidC, x.c, x.net
		x.g.Tasks = append(x.g.Tasks, t)
	}
	thread := *x.g.Tasks[1]
	thread.TID, thread.Comm = 299, "\x1b[2J"
	onHost := &Task{PID: 300, TID: 300, Comm: "host"}
	onHost.Namespaces[InPID], onHost.Namespaces[InUser], onHost.Namespaces[InTime] = x.hostPID, x.host, x.time
	x.g.Tasks = append(x.g.Tasks, &thread, onHost)
	return x
}

func TestWriteTree(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func() *Graph
		o    TreeOptions
		want string
	}{
		{
			name: "by owner",
			make: func() *Graph { return big().g },
			want: `
user:[4026531837] external
├─ external mnt, uts, ipc, pid, cgroup, net, time
├─ user:[4026531010] 0→100000+1000 1000→102000+1000 2000→104000+1000 +7 more
│  ├─ mnt:[4026531033] no task
│  ├─ uts:[4026531030] "box" "example.org" no task
│  ├─ pid:[4026531020] init 100 (1)
│  └─ user:[4026531012] no maps
│     ├─ pid:[4026531021] in pid:[4026531020] work 200 (1), +4 more
│     ├─ pid:[4026531050] dead in pid:[4026531020]
│     ├─ pid:[4026531051] unborn in pid:[4026531021]
│     └─ net:[4026531032]
├─ user:[4026531011] uid 0→300000+1000 gid 0→?+1 by uid 1000 no task
│  └─ time:[4026531031] monotonic -1.5s boottime +86400s host 300
└─ user:[4026531052] hidden
   └─ cgroup:[4026531053] /user.slice no task
`,
		},
		{
			name: "by parent",
			make: func() *Graph { return big().g },
			o:    TreeOptions{By: ByParent, Width: 120},
			want: `
pid:[4026531836] external
└─ pid:[4026531020] of user:[4026531010] init 100 (1)
   ├─ pid:[4026531021] of user:[4026531012] work 200 (1), work 201 (2), work 202 (3), work 203 (4), +1 more
   │  └─ pid:[4026531051] unborn of user:[4026531012]
   └─ pid:[4026531050] dead of user:[4026531012]
`,
		},
		{
			name: "wide enough for what is not printable",
			make: func() *Graph {
				x := big()
				x.g.Tasks = x.g.Tasks[len(x.g.Tasks)-2 : len(x.g.Tasks)-1]
				x.g.Namespaces = []*Namespace{x.host, x.hostPID, x.a, x.c, x.pidA, x.pidC}
				return x.g
			},
			o: TreeOptions{By: ByParent, Width: 200},
			want: `
pid:[4026531836] external
└─ pid:[4026531020] of user:[4026531010] no task
   └─ pid:[4026531021] of user:[4026531012] "\x1b[2J" 200/299 (1)
`,
		},
		{
			name: "out of sight",
			make: func() *Graph {
				x := newNest()
				x.net.Owner, x.pidC.Parent, x.b.Owner, x.b.Parent = nil, nil, nil, nil
				x.g.Tasks = nil
				return x.g
			},
			want: `
user:[4026531837] external
├─ external pid
└─ user:[10] 0→100000+1000 1000→200000+1000
   ├─ mnt:[33]
   ├─ uts:[30] "box"
   ├─ pid:[20]
   └─ user:[12] 0→500+100
      └─ pid:[21] parent out of sight
(owner out of sight)
├─ net:[32]
└─ user:[11] 0→300000+1000
   └─ time:[31] boottime +86400s
`,
		},
		{
			name: "parent out of sight",
			make: func() *Graph {
				x := newNest()
				x.pidC.Parent, x.pidC.Owner = nil, nil
				x.g.Tasks = nil
				return x.g
			},
			o: TreeOptions{By: ByParent},
			want: `
pid:[4026531836] external
└─ pid:[20] of user:[10]
(parent out of sight)
└─ pid:[21] owner out of sight
`,
		},
		{
			name: "folded",
			make: func() *Graph {
				g := containers(415)
				g.Tasks = nil
				for i := range uint64(20) {
					g.Namespaces = append(g.Namespaces, &Namespace{Type: Net, Ino: i, Owner: g.Namespaces[0]})
				}
				return g
			},
			o: TreeOptions{Fold: 2},
			want: `
user:[4026531837] external
├─ external pid
├─ net:[0]
├─ … 19 more like this
├─ user:[10] no maps
│  ├─ mnt:[10]
│  ├─ uts:[10] "box"
│  ├─ ipc:[10]
│  └─ pid:[10]
└─ … 414 more like this (2070 namespaces)
`,
		},
		{
			name: "those of one shape together",
			make: func() *Graph {
				g := chain(User, 0)
				for i := range uint64(6) {
					up := g.Namespaces[0]
					n := &Namespace{Type: User, Ino: 10 + i, Owner: up, Parent: up, State: State(i % 2)}
					g.Namespaces = append(g.Namespaces, n)
				}
				return g
			},
			o: TreeOptions{Fold: 2},
			want: `
user:[4026531837] external
├─ user:[10]
├─ … 2 more like this
├─ user:[11] hidden
└─ … 2 more like this
`,
		},
		{name: "empty", make: func() *Graph { return &Graph{} }, want: "\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			if err := WriteTree(&b, tt.make(), tt.o); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimPrefix(tt.want, "\n"), b.String()); diff != "" {
				t.Errorf("WriteTree (-want +got):\n%s", diff)
			}
		})
	}
}

// TestWriteTreeDrawsAll: unfolded, every namespace has its line once.
func TestWriteTreeDrawsAll(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 20))
		g := topologytest.Random(rng, topologytest.Options{Tasks: true, Namespaces: 200})
		var b strings.Builder
		if err := WriteTree(&b, g, TreeOptions{Fold: -1}); err != nil {
			t.Fatal(err)
		}
		at := make(map[string]int)
		for line := range strings.Lines(b.String()) {
			at[strings.Fields(strings.TrimLeft(line, "├└│─ "))[0]]++
		}
		for _, n := range g.Namespaces {
			if !n.External && at[n.Name()] != 1 {
				t.Errorf("seed %d: %s begins %d lines", seed, n.Name(), at[n.Name()])
			}
		}
	}
}

func TestWriteTreeRefuses(t *testing.T) {
	x := newNest()
	x.a.Owner, x.a.Parent = x.c, x.c
	for _, tt := range []struct {
		name string
		g    *Graph
		want string
	}{
		{"circle", x.g, "draw tree: owners and parents of user:[10] go in a circle"},
		{"too deep", chain(User, 100), "draw tree: user:[36] is deeper than the kernel nests, validate the graph first"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := WriteTree(&strings.Builder{}, tt.g, TreeOptions{})
			if err == nil || err.Error() != tt.want {
				t.Errorf("WriteTree: %v, want %s", err, tt.want)
			}
		})
	}
}
