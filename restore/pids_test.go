//go:build linux && (amd64 || arm64)

package restore_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/renest/renest/restore"
	"github.com/renest/renest/test/require"
	"github.com/renest/renest/topology"
	"github.com/renest/renest/topology/topologytest"
)

// numbered gives the first process of each pid namespace pids that no other wants:
// in the caller's own pid namespace from base on.
func numbered(rng *rand.Rand, g *topology.Graph, base int) {
	next := map[*topology.Namespace]int{}
	var tasks []*topology.Task
	for _, task := range g.Tasks {
		if n := task.Namespaces[topology.InPID]; task.NSPID[len(task.NSPID)-1] == 1 && !n.External {
			tasks = append(tasks, task)
		}
	}
	for _, task := range tasks {
		task.NSPID = []int{1}
		n := task.Namespaces[topology.InPID].Parent
		for ; !n.External; n = n.Parent {
			next[n] = max(next[n], 1) + 1 + rng.IntN(3)
			task.NSPID = append([]int{next[n]}, task.NSPID...)
		}
		next[n] = max(next[n], base) + 1 + rng.IntN(3)
		task.NSPID = append([]int{next[n]}, task.NSPID...)
		task.PID, task.TID = next[n], next[n]
	}
	g.Tasks = tasks
}

// TestPIDs gives holders the pids of the first processes that they stand for, at
// all levels or at those of the tree.
func TestPIDs(t *testing.T) {
	if _, err := os.Stat("/proc/sys/kernel/ns_last_pid"); err != nil {
		require.That(t, "ns_last_pid", err)
	}
	host, err := restore.ReadHost()
	if err != nil {
		t.Fatal(err)
	}
	holders := 0
	for seed := range some(4, 12) {
		for _, mode := range []restore.PIDMode{restore.InnerPIDs, restore.ExactPIDs} {
			g := random(seed, topologytest.Options{Tasks: true, Dead: seed%2 == 0})
			// Far from where this host is at, but for some.
			base := 1000 + (lastPID(t)+12000)%25000
			if seed == 1 {
				base = lastPID(t) + 30
			}
			numbered(rand.New(rand.NewPCG(seed, 8)), g, base)
			o := host.PlanOptions()
			o.PIDs = mode
			p, err := restore.NewPlan(g, o)
			if err != nil {
				t.Fatal(err)
			}
			if err := host.Resolve(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			err = restore.Preflight(p, host)
			if os.Geteuid() != 0 && mode == restore.ExactPIDs && len(g.Tasks) > 0 {
				wantError(t, err, "restore as root, or with --pids inner")
				continue
			}
			if err != nil && strings.Contains(err.Error(), "in use here") {
				t.Logf("seed %d: %v", seed, err)
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			s, err := restore.Execute(t.Context(), p, restore.Options{})
			if errors.Is(err, unix.EEXIST) && mode == restore.ExactPIDs { // somebody was quicker
				t.Logf("seed %d: %v", seed, err)
				noChildren(t)
				continue
			}
			if err != nil {
				logSteps(t, p)
				t.Fatalf("seed %d: %v", seed, err)
			}
			holders += comparePIDs(t, fmt.Sprintf("seed %d", seed), p, s, mode)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			noChildren(t)
		}
	}
	if t.Logf("%d holders", holders); holders == 0 {
		t.Error("no holder was looked at")
	}
	alsoAsUser(t)
}

func lastPID(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/kernel/ns_last_pid")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	if _, err := fmt.Sscan(string(text), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// comparePIDs compares, by /proc, what each holder has with what was wanted.
func comparePIDs(t *testing.T, what string, p *restore.Plan, s *restore.Standing, mode restore.PIDMode) int {
	t.Helper()
	pids := map[string]int{}
	for _, b := range s.Bindings {
		pids[b.Image] = b.PID
	}
	n := 0
	for _, task := range p.Graph.Tasks {
		ns := task.Namespaces[topology.InPID]
		if ns.State != topology.Active {
			continue
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pids[ns.Name()]))
		if err != nil {
			t.Error(err)
			continue
		}
		_, line, _ := strings.Cut(string(text), "\nNSpid:")
		line, _, _ = strings.Cut(line, "\n")
		got, want := strings.Fields(line), strings.Fields(strings.Trim(fmt.Sprint(task.NSPID), "[]"))
		if mode == restore.InnerPIDs {
			got, want = got[len(got)-len(want)+1:], want[1:]
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: the holder of %s (-want +got):\n%s", what, ns.Name(), diff)
		}
		n++
	}
	return n
}

// TestPIDsPlanned simulates plans with pids.
func TestPIDsPlanned(t *testing.T) {
	for seed := range some(200, 1000) {
		o := simOptions(seed)
		o.Tasks = true
		g := topologytest.Random(rand.New(rand.NewPCG(seed, 9)), o)
		hide(g)
		numbered(rand.New(rand.NewPCG(seed, 10)), g, 1000)
		po := restore.PlanOptions{Privileged: !o.Unprivileged, UID: simUID, GID: simGID, PIDs: restore.InnerPIDs}
		if po.Privileged && seed%2 == 0 {
			po.PIDs = restore.ExactPIDs
		}
		simulateWith(t, fmt.Sprintf("seed %d", seed), g, po)
	}
}

// TestPIDsRefused has pids that cannot be had.
func TestPIDsRefused(t *testing.T) {
	exact := restore.PlanOptions{Privileged: true, PIDs: restore.ExactPIDs}
	g := container()
	for name, tt := range map[string]struct {
		pids []int
		want string
	}{
		"a level too few":  {[]int{1}, "the image has 1 pids of its first process, which is 2 levels down"},
		"a level too many": {[]int{5, 70, 1}, "the image has 3 pids of its first process, which is 2 levels down"},
		"zero":             {[]int{0, 1}, "is said to be pid 0"},
		"negative":         {[]int{-7, 1}, "is said to be pid -7"},
		"too large":        {[]int{4 << 20, 1}, "is said to be pid 4194304"},
	} {
		t.Run(name, func(t *testing.T) {
			g := g.Clone()
			g.Tasks[0].NSPID = tt.pids
			_, err := restore.NewPlan(g, exact)
			wantError(t, err, "pid:[11]: ", tt.want)
		})
	}
	t.Run("two of one", func(t *testing.T) {
		g := g.Clone()
		first := g.Tasks[0]
		pid := first.Namespaces[topology.InPID]
		twin := &topology.Namespace{Type: topology.PID, Ino: 14, Owner: pid.Owner, Parent: pid.Parent}
		task := *first
		task.Namespaces[topology.InPID] = twin
		g.Namespaces, g.Tasks = append(g.Namespaces, twin), append(g.Tasks, &task)
		_, err := restore.NewPlan(g, exact)
		wantError(t, err, "pid:[11] and pid:[14]: the first process of both is pid 70 of pid:[2]")
	})
	t.Run("no task", func(t *testing.T) {
		g := g.Clone()
		g.Tasks = nil
		_, err := restore.NewPlan(g, exact)
		wantError(t, err, "pid:[11]: the image does not have its first process")
	})
	t.Run("in use", func(t *testing.T) {
		g := g.Clone()
		g.Tasks[0].NSPID[0] = os.Getpid()
		p, err := restore.NewPlan(g, exact)
		if err != nil {
			t.Fatal(err)
		}
		host := roots()
		if err := host.Resolve(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		wantError(t, restore.Preflight(p, host), fmt.Sprintf("pid:[11]: pid %d of its first process is in use here, by ", os.Getpid()))
		host.UsedPIDs, host.PIDMax = nil, 5
		wantError(t, restore.Preflight(p, host), "is above this host's: sysctl -w kernel.pid_max")
		if os.Geteuid() == 0 {
			_, err = restore.Execute(t.Context(), p, restore.Options{})
			wantError(t, err, "is in use: restore with --pids inner")
			noChildren(t)
		}
	})
}
