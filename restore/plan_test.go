package restore_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
	"github.com/renest/renest/topology/topologytest"
)

// An ordinary user, in the simulation.
const simUID, simGID = 1000, 1001

// simulate plans g, has the model carry the plan out, step by step and in
// rounds, and returns the plan.
func simulate(t *testing.T, what string, g *topology.Graph, privileged bool) *restore.Plan {
	t.Helper()
	return simulateWith(t, what, g, restore.PlanOptions{Privileged: privileged, UID: simUID, GID: simGID})
}

func simulateWith(t *testing.T, what string, g *topology.Graph, o restore.PlanOptions) *restore.Plan {
	t.Helper()
	if err := g.Validate(); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	p, err := restore.NewPlan(g, o)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	for _, how := range []string{"step by step", "in rounds"} {
		k := newKernel(p, true, 0, 0)
		if !o.Privileged {
			k = newKernel(p, false, simUID, simGID)
		}
		if how == "in rounds" {
			k.carryOut(rand.New(rand.NewPCG(uint64(len(p.Steps)), 0)), p)
		} else {
			for _, s := range p.Steps {
				k.step(s)
			}
		}
		k.compare(p)
		if len(k.broken) > 0 {
			logSteps(t, p)
			t.Logf("rounds: %v", restore.Schedule(p))
			t.Fatalf("%s, %s:\n%s", what, how, strings.Join(k.broken, "\n"))
		}
	}
	return p
}

func logSteps(t *testing.T, p *restore.Plan) {
	t.Helper()
	for i, s := range p.Steps {
		t.Logf("%3d %s (%s)", i, s, s.Why)
	}
	for _, n := range p.Notes {
		t.Log(n)
	}
}

// some returns how many of something random a test looks at: few with -short,
// and where the tests run once more, as another user or on another kernel.
func some(few, all uint64) uint64 {
	if testing.Short() || elsewhere() {
		return few
	}
	return all
}

// elsewhere tells whether what runs these tests runs them as root and as an
// ordinary user: it says where the programs are that cannot be built there.
func elsewhere() bool { return os.Getenv("RENEST_PROGRAMS") != "" }

// simOptions makes of a seed what a graph may have.
func simOptions(seed uint64) topologytest.Options {
	return topologytest.Options{
		Tasks: seed%2 == 0, Dead: seed%3 == 0, Unborn: seed%5 == 0, Settings: seed%7 < 3,
		Unprivileged: seed%4 < 2, UID: simUID, GID: simGID,
	}
}

// TestPlanObeysTheKernel simulates plans of random graphs. Where the first
// process of a pid namespace was, its holder is.
func TestPlanObeysTheKernel(t *testing.T) {
	for seed := range some(400, 2000) {
		o := simOptions(seed)
		g := topologytest.Random(rand.New(rand.NewPCG(seed, 1)), o)
		hide(g)
		what := fmt.Sprintf("seed %d", seed)
		p := simulate(t, what, g, !o.Unprivileged)
		away := homesick(p)
		if len(away)+len(p.Notes) > 0 {
			logSteps(t, p)
			t.Fatalf("%s: not where the first process was: %v", what, away)
		}
	}
}

// TestPlanOfOddTasks simulates plans of graphs whose first processes are in
// namespaces of any owner, and in user namespaces below that of their pid
// namespace, as setns(2) by a privileged process makes them.
func TestPlanOfOddTasks(t *testing.T) {
	holders, noted := 0, 0
	for seed := range some(400, 2000) {
		o := simOptions(seed)
		o.Tasks = true
		rng := rand.New(rand.NewPCG(seed, 2))
		g := topologytest.Random(rng, o)
		scatter(rng, g)
		what := fmt.Sprintf("seed %d", seed)
		p := simulate(t, what, g, !o.Unprivileged)
		for _, n := range homesick(p) {
			if !slices.ContainsFunc(p.Notes, func(note string) bool { return strings.Contains(note, n.Name()) }) {
				logSteps(t, p)
				t.Fatalf("%s: the holder of %s is not where its first process was, and no note says so", what, n.Name())
			}
		}
		holders += len(p.Holders)
		noted += len(homesick(p))
	}
	// In a circle each of two owners waits for what the other owns: rare.
	if t.Logf("%d of %d holders are not where the first process was", noted, holders); noted*100 > holders {
		t.Error("more than one in a hundred")
	}
}

// hide makes dead pid namespaces hidden that have a child to be reached from.
func hide(g *topology.Graph) {
	for _, n := range g.Namespaces {
		if n.Type == topology.PID && n.State == topology.Dead && !n.External && n.Parent.State == topology.Dead {
			n.Parent.State = topology.Hidden
		}
		// Nobody was in it, and it is held by a socket.
		member := slices.ContainsFunc(g.Tasks, func(t *topology.Task) bool { return t.Namespaces[topology.InNet] == n })
		if n.Type == topology.Net && !n.External && !member && n.Ino%3 == 0 {
			n.State = topology.Hidden
		}
	}
}

// scatter puts the first processes of pid namespaces anywhere.
func scatter(rng *rand.Rand, g *topology.Graph) {
	for _, task := range g.Tasks {
		owner := task.Namespaces[topology.InPID].Owner
		for _, n := range g.Namespaces {
			switch {
			case n.Type == topology.PID:
			case n.Type == topology.User:
				if topology.IsAncestor(owner, n) && rng.IntN(8) == 0 {
					task.Namespaces[topology.InUser] = n
				}
			case rng.IntN(6) == 0:
				task.Namespaces[topology.LinkOf(n.Type)] = n
			}
		}
		task.Namespaces[topology.TimeForChildren] = task.Namespaces[topology.InTime]
	}
}

// homesick returns the pid namespaces whose holders are not where the first
// processes were.
func homesick(p *restore.Plan) []*topology.Namespace {
	holders := map[*topology.Namespace]restore.Holder{}
	for _, h := range p.Holders {
		// Those that keep an unborn pid namespace come last.
		if n := h.In[topology.InPID]; holders[n].Agent == 0 {
			holders[n] = h
		}
	}
	var list []*topology.Namespace
	for _, task := range p.Graph.Tasks {
		n := task.Namespaces[topology.InPID]
		if task.NSPID[len(task.NSPID)-1] != 1 || n.State != topology.Active {
			continue
		}
		h := holders[n]
		for _, typ := range topology.Types {
			l := topology.LinkOf(typ)
			if h.In[l] != task.Namespaces[l] {
				list = append(list, n)
				break
			}
		}
	}
	return list
}

// TestPlanTwice wants the same plan of the same graph.
func TestPlanTwice(t *testing.T) {
	g := topologytest.Random(rand.New(rand.NewPCG(1, 3)), topologytest.Options{Namespaces: 80, Tasks: true, Dead: true, Unborn: true})
	first := simulate(t, "first", g, true)
	second := simulate(t, "second", g, true)
	if !reflect.DeepEqual(first, second) {
		t.Error("two plans differ")
	}
}
