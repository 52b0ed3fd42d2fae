package topology_test

import (
	"errors"
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

// change is one way to make a topology another. It reports false where the
// graph has nothing that it could change.
type change struct {
	name string
	do   func(rng *rand.Rand, g *Graph) bool
}

// one returns a namespace that is not external and that ok accepts.
func one(rng *rand.Rand, g *Graph, ok func(n *Namespace) bool) *Namespace {
	var list []*Namespace
	for _, n := range g.Namespaces {
		if !n.External && ok(n) {
			list = append(list, n)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[rng.IntN(len(list))]
}

func ofType(t Type) func(*Namespace) bool {
	return func(n *Namespace) bool { return n.Type == t }
}

var changes = []change{
	{"uid map", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, func(n *Namespace) bool { return n.Type == User && len(n.User.UIDMap) > 0 })
		if n != nil {
			n.User.UIDMap[0].Count++
		}
		return n != nil
	}},
	{"gid map", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, ofType(User))
		if n != nil {
			n.User.GIDMap = append(n.User.GIDMap, Extent{1 << 30, 1 << 30, 1})
		}
		return n != nil
	}},
	{"creator", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, ofType(User))
		if n != nil {
			n.User.OwnerUID++
		}
		return n != nil
	}},
	{"setgroups", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, ofType(User))
		if n != nil {
			n.User.Setgroups += "?"
		}
		return n != nil
	}},
	{"maps unread", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, ofType(User))
		if n != nil {
			n.User = nil
		}
		return n != nil
	}},
	{"host name", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, ofType(UTS))
		if n != nil {
			n.UTS.NodeName += "!"
		}
		return n != nil
	}},
	{"domain name", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, ofType(UTS))
		if n != nil {
			n.UTS.DomainName += "!"
		}
		return n != nil
	}},
	{"names unread", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, ofType(UTS))
		if n != nil {
			n.UTS = nil
		}
		return n != nil
	}},
	{"offset", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, ofType(Time))
		if n != nil {
			n.Time.Boottime.Nsec ^= 1
		}
		return n != nil
	}},
	{"state", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, func(*Namespace) bool { return true })
		n.State ^= Hidden
		return true
	}},
	{"removed", func(rng *rand.Rand, g *Graph) bool {
		used := map[*Namespace]bool{}
		for _, n := range g.Namespaces {
			used[n.Owner], used[n.Parent] = true, true
		}
		n := one(rng, g, func(n *Namespace) bool { return !used[n] })
		g.Namespaces = slices.DeleteFunc(g.Namespaces, func(o *Namespace) bool { return o == n })
		g.Tasks = nil
		return true
	}},
	{"added", func(rng *rand.Rand, g *Graph) bool {
		up := one(rng, g, ofType(User))
		g.Namespaces = append(g.Namespaces, &Namespace{Type: Net, Ino: 1, Owner: up})
		return true
	}},
	{"owner out of sight", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, func(n *Namespace) bool { return n.Type != User })
		if n != nil {
			n.Owner = nil
		}
		return n != nil
	}},
	{"owner out of the tree", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, func(n *Namespace) bool { return n.Type != User && !n.Owner.External })
		if n != nil {
			n.Owner = g.Namespaces[slices.IndexFunc(g.Namespaces, func(n *Namespace) bool { return n.External && n.Type == User })]
		}
		return n != nil
	}},
	{"pid parent one up", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, func(n *Namespace) bool { return n.Type == PID && !n.Parent.External })
		if n != nil {
			n.Parent = n.Parent.Parent
		}
		return n != nil
	}},
	{"user parent one up", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, func(n *Namespace) bool { return n.Type == User && !n.Parent.External })
		if n != nil {
			n.Owner, n.Parent = n.Parent.Parent, n.Parent.Parent
		}
		return n != nil
	}},
	{"owner one down", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, func(n *Namespace) bool {
			return n.Type != User && n.Type != PID && one(rng, g, childOf(n.Owner)) != nil
		})
		if n != nil {
			n.Owner = one(rng, g, childOf(n.Owner))
		}
		return n != nil
	}},
	{"external", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, func(n *Namespace) bool { return n.Owner.External && n.Type != User && n.Type != PID })
		if n != nil {
			n.External = true
		}
		return n != nil
	}},
	{"task elsewhere", func(rng *rand.Rand, g *Graph) bool {
		if len(g.Tasks) == 0 {
			return false
		}
		task := g.Tasks[rng.IntN(len(g.Tasks))]
		task.Namespaces[InNet] = nil
		return true
	}},
	{"task one level up", func(rng *rand.Rand, g *Graph) bool {
		if len(g.Tasks) == 0 {
			return false
		}
		task := g.Tasks[rng.IntN(len(g.Tasks))]
		task.NSPID = task.NSPID[1:]
		return true
	}},
	{"task gone", func(rng *rand.Rand, g *Graph) bool {
		if len(g.Tasks) == 0 {
			return false
		}
		g.Tasks = slices.Delete(g.Tasks, 0, 1)
		return true
	}},
	{"thread leaves", func(rng *rand.Rand, g *Graph) bool {
		if len(g.Tasks) == 0 {
			return false
		}
		thread := *g.Tasks[rng.IntN(len(g.Tasks))]
		thread.TID++
		g.Tasks = append(g.Tasks, &thread)
		return true
	}},
}

func childOf(u *Namespace) func(*Namespace) bool {
	return func(n *Namespace) bool { return n.Type == User && n.Parent == u }
}

// TestEveryChangeIsNoticed makes one change at a time. None of them gives back
// the same topology, whatever the graph: each alters how many namespaces there
// are of some kind, or at some depth.
func TestEveryChangeIsNoticed(t *testing.T) {
	for _, c := range changes {
		t.Run(c.name, func(t *testing.T) {
			made := 0
			for seed := range uint64(200) {
				rng := rand.New(rand.NewPCG(seed, 11))
				a := topologytest.Random(rng, topologytest.Options{Tasks: true})
				b := topologytest.Renumbered(rng, a)
				if !c.do(rng, b) {
					continue
				}
				made++
				_, err := Isomorphic(a, b, withTasks)
				var d *Difference
				if !errors.As(err, &d) {
					t.Fatalf("seed %d: not noticed, %v", seed, err)
				}
				if len(d.First)+len(d.Second) == 0 || strings.Contains(d.Error(), ": (") || strings.HasSuffix(d.Error(), ": ") {
					t.Errorf("seed %d: not described: %v", seed, d)
				}
				if _, back := Isomorphic(b, a, withTasks); !errors.As(back, &d) {
					t.Fatalf("seed %d: not noticed the other way: %v", seed, back)
				}
			}
			if made < 20 {
				t.Errorf("made in %d of 200 graphs", made)
			}
		})
	}
}

// TestSmallAgainstBruteForce compares with a search that tries all mappings, on
// graphs with so little to tell namespaces apart that symmetry is the rule.
func TestSmallAgainstBruteForce(t *testing.T) {
	same := 0
	for seed := range uint64(4000) {
		rng := rand.New(rand.NewPCG(seed, 12))
		a, b := bare(rng), bare(rng)
		if rng.IntN(2) == 0 {
			b = topologytest.Renumbered(rng, a)
			if pid := one(rng, b, ofType(PID)); pid != nil && rng.IntN(2) == 0 {
				pid.Owner = one(rng, b, ofType(User))
			}
		}
		m, err := Isomorphic(a, b, CompareOptions{})
		var d *Difference
		if err != nil && !errors.As(err, &d) {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if err == nil {
			same++
			checkMapping(t, a, b, m)
		}
		if want := bruteForce(a, b); want != (err == nil) {
			t.Fatalf("seed %d: isomorphic: %v, want %v (%v)", seed, err == nil, want, err)
		}
	}
	if same < 1000 || same > 3500 {
		t.Errorf("%d of 4000 pairs are isomorphic: the graphs are too alike, or too unlike", same)
	}
}

// TestLargeAndBare: symmetric graphs beyond what can be tried out.
func TestLargeAndBare(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 15))
		a := bare(rng)
		for range 5 + rng.IntN(100) {
			up := one(rng, a, ofType(User))
			n := &Namespace{Type: User, Ino: uint64(len(a.Namespaces) + 100), Owner: up, Parent: up}
			if pid := one(rng, a, ofType(PID)); pid != nil && rng.IntN(2) == 0 {
				n.Type, n.Parent = PID, pid
			}
			a.Namespaces = append(a.Namespaces, n)
		}
		b := topologytest.Renumbered(rng, a)
		m, err := Isomorphic(a, b, CompareOptions{})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		checkMapping(t, a, b, m)
	}
}

// bare returns a few user and pid namespaces that differ by their edges alone.
// The edges need not be such as the kernel makes.
func bare(rng *rand.Rand) *Graph {
	host := &Namespace{Type: User, Ino: 4026531837, External: true}
	hostPID := &Namespace{Type: PID, Ino: 2, External: true, Owner: host}
	g := &Graph{Namespaces: []*Namespace{host, hostPID}}
	users, pids := []*Namespace{host}, []*Namespace{hostPID}
	for i := range 2 + rng.IntN(2) {
		up := users[rng.IntN(min(2, len(users)))]
		n := &Namespace{Type: User, Ino: uint64(10 + i), Owner: up, Parent: up}
		users = append(users, n)
		g.Namespaces = append(g.Namespaces, n)
	}
	for i := range 2 + rng.IntN(3) {
		n := &Namespace{Type: PID, Ino: uint64(20 + i), Owner: users[1+rng.IntN(len(users)-1)], Parent: pids[rng.IntN(min(3, len(pids)))]}
		pids = append(pids, n)
		g.Namespaces = append(g.Namespaces, n)
	}
	return g
}

func bruteForce(a, b *Graph) bool {
	if len(a.Namespaces) != len(b.Namespaces) {
		return false
	}
	m := map[*Namespace]*Namespace{nil: nil}
	taken := map[*Namespace]bool{}
	var try func(i int) bool
	try = func(i int) bool {
		if i == len(a.Namespaces) {
			return true
		}
		n := a.Namespaces[i]
		for _, o := range b.Namespaces {
			if taken[o] || o.Type != n.Type || o.External != n.External || m[n.Owner] != o.Owner || m[n.Parent] != o.Parent {
				continue
			}
			m[n], taken[o] = o, true
			if try(i + 1) {
				return true
			}
			delete(m, n)
			delete(taken, o)
		}
		return false
	}
	return try(0)
}

// rings returns user namespaces tied by pid namespaces into rings of the given
// lengths: each pid namespace has a user namespace for its owner and hangs on
// a pid namespace, and the two kinds alternate around a ring. No look at the
// surroundings of a node tells one ring of eight from two of four.
func rings(lengths ...int) *Graph {
	host := &Namespace{Type: User, Ino: 4026531837, External: true}
	hostPID := &Namespace{Type: PID, Ino: 2, External: true, Owner: host}
	g := &Graph{Namespaces: []*Namespace{host, hostPID}}
	ino := uint64(10)
	add := func(t Type, owner, parent *Namespace) *Namespace {
		ino++
		n := &Namespace{Type: t, Ino: ino, Owner: owner, Parent: parent}
		g.Namespaces = append(g.Namespaces, n)
		return n
	}
	for _, length := range lengths {
		var users, pids []*Namespace
		for range length {
			users = append(users, add(User, host, host))
			pids = append(pids, add(PID, host, hostPID))
		}
		for i := range length {
			add(PID, users[i], pids[i])
			add(PID, users[i], pids[(i+1)%length])
		}
	}
	return g
}

func TestIsomorphicSymmetric(t *testing.T) {
	for _, tt := range []struct {
		name string
		a, b *Graph
		want string
	}{
		{name: "one ring", a: rings(8), b: rings(8)},
		{
			name: "one ring and two", a: rings(8), b: rings(4, 4),
			want: "topologies differ: alike part by part, but not put together alike",
		},
		{name: "many rings", a: rings(3, 4, 5, 3, 4, 5, 40), b: rings(40, 5, 5, 4, 4, 3, 3)},
		{name: "a hundred like rings", a: rings(slices.Repeat([]int{6}, 100)...), b: rings(slices.Repeat([]int{6}, 100)...)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := topologytest.Renumbered(rand.New(rand.NewPCG(1, 13)), tt.b)
			m, err := Isomorphic(tt.a, b, CompareOptions{})
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				checkMapping(t, tt.a, b, m)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Isomorphic (-want +got):\n%s", diff)
			}
		})
	}
}

// TestIsomorphicGivesUp: what was made to be hard ends all the same.
func TestIsomorphicGivesUp(t *testing.T) {
	if testing.Short() {
		t.Skip("short: a search that is given up after some seconds")
	}
	mixed := slices.Insert(slices.Repeat([]int{6}, 20), 10, 12)
	alike := slices.Repeat([]int{6}, 22)
	start := time.Now()
	if _, err := Isomorphic(rings(mixed...), rings(alike...), CompareOptions{}); !errors.Is(err, ErrUndecided) {
		t.Errorf("Isomorphic: %v", err)
	}
	if d := time.Since(start); d > time.Minute {
		t.Errorf("took %v", d)
	}
}

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
