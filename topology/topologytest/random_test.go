package topologytest_test

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/renest/renest/topology"
	"github.com/renest/renest/topology/topologytest"
)

// TestRandomIsCreatable holds the generator against the rules that Validate
// has, and against those that it leaves to whoever creates: no namespace below
// an unborn one, nothing alive below a dead one.
func TestRandomIsCreatable(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(400) {
		o := topologytest.Options{
			Tasks: seed%2 == 0, Dead: seed%3 == 0, Unborn: seed%5 == 0,
			Unprivileged: seed%4 == 0, UID: 65534, GID: 65533,
		}
		g := topologytest.Random(rand.New(rand.NewPCG(seed, 0)), o)
		if err := g.Validate(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, n := range g.Namespaces {
			if p := n.Parent; p != nil && p.State != topology.Active && (n.State != topology.Dead || p.State != topology.Dead) && n.Type == topology.PID {
				t.Errorf("seed %d: %s is %s below %s, which is %s", seed, n.Name(), n.State, p.Name(), p.State)
			}
			if o.Unprivileged && !n.External && n.Type != topology.User && n.Owner.External {
				t.Errorf("seed %d: %s is owned by %s", seed, n.Name(), n.Owner.Name())
			}
			count(seen, n)
		}
		for _, task := range g.Tasks {
			if last := task.NSPID[len(task.NSPID)-1]; task.Comm == "init" && last != 1 {
				t.Errorf("seed %d: init %d is %d in its own pid namespace", seed, task.PID, last)
			}
			seen["task"]++
		}
	}
	for _, what := range []string{
		"user", "mnt", "uts", "ipc", "pid", "cgroup", "net", "time", "task", "dead", "unborn", "no uid map",
		"more than five extents", "other creator", "owned further down than its parent", "setgroups deny",
	} {
		if seen[what] < 20 {
			t.Errorf("%s: %d in 400 topologies", what, seen[what])
		}
	}
}

func count(seen map[string]int, n *topology.Namespace) {
	if n.External {
		return
	}
	seen[n.Type.String()]++
	seen[n.State.String()]++
	if n.Type == topology.PID && n.Parent.Owner != n.Owner {
		seen["owned further down than its parent"]++
	}
	if u := n.User; u != nil {
		if len(u.UIDMap) == 0 {
			seen["no uid map"]++
		}
		if len(u.UIDMap) > 5 {
			seen["more than five extents"]++
		}
		if u.OwnerUID != 0 {
			seen["other creator"]++
		}
		seen["setgroups "+u.Setgroups]++
	}
}

func TestRandomSize(t *testing.T) {
	g := topologytest.Random(rand.New(rand.NewPCG(1, 1)), topologytest.Options{Namespaces: 500, Depth: 33})
	if want, got := 508, len(g.Namespaces); got != want {
		t.Errorf("%d namespaces, want %d", got, want)
	}
	deepest := map[topology.Type]int{}
	for _, n := range g.Namespaces {
		deepest[n.Type] = max(deepest[n.Type], n.Level())
	}
	if deepest[topology.User] < 8 || deepest[topology.PID] < 8 {
		t.Errorf("depth %v", deepest)
	}
}

func TestRandomSameSeed(t *testing.T) {
	names := func() (out []string) {
		g := topologytest.Random(rand.New(rand.NewPCG(7, 7)), topologytest.Options{Tasks: true})
		for _, n := range g.Namespaces {
			out = append(out, n.Name())
		}
		return out
	}
	if diff := cmp.Diff(names(), names()); diff != "" {
		t.Errorf("two runs differ (-first +second):\n%s", diff)
	}
}
