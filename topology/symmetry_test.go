package topology_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	. "github.com/renest/renest/topology"
	"github.com/renest/renest/topology/topologytest"
)

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
	if _, err := Isomorphic(rings(mixed...), rings(alike...), CompareOptions{}); !errors.Is(err, ErrUndecided) {
		t.Errorf("Isomorphic: %v", err)
	}
}
