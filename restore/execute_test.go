//go:build linux

package restore_test

import (
	"context"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
	"github.com/renest/renest/topology/topologytest"
)

func plan(t testing.TB, g *topology.Graph) *restore.Plan {
	t.Helper()
	if err := g.Validate(); err != nil {
		t.Fatal(err)
	}
	p, err := restore.NewPlan(g, restore.PlanOptions{Privileged: os.Geteuid() == 0})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestRandom restores random topologies; Execute itself dumps and compares.
func TestRandom(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 0))
		g := topologytest.Random(rng, topologytest.Options{})
		p := plan(t, g)
		s, err := restore.Execute(context.Background(), p, restore.Options{})
		if err != nil {
			for _, st := range p.Steps {
				t.Log(st, "-", st.Why)
			}
			t.Fatalf("seed %d: %v", seed, err)
		}
		t.Logf("seed %d: %d namespaces, %d steps, made in %v, verified in %v, notes %v", seed, len(p.Made()), len(p.Steps), s.Made, s.Verified, s.Notes)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
