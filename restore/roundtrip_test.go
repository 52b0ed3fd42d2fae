//go:build linux && (amd64 || arm64)

package restore_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/images"
	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
	"github.com/renest/renest/topology/topologytest"
)

// TestRoundTrip takes random topologies from the kernel into an image and back,
// and again from the kernel. The first tree is made by something other than this
// package.
func TestRoundTrip(t *testing.T) {
	if inTwo(t) {
		return
	}
	for seed := range some(20, 200) {
		if !t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { roundTrip(t, seed) }) {
			break
		}
	}
}

func roundTrip(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 4))
	wanted := topologytest.Random(rng, topologytest.Options{
		Dead: seed%3 == 0, Unprivileged: os.Geteuid() != 0, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()),
	})
	b := build(t, rng, wanted)
	first := dumpTree(t, b.crew.Guardian().PID())
	isomorphic(t, "what was built", wanted, first)
	b.destroy()
	noChildren(t)

	image := transport(t, first)
	p := planned(t, image)
	if len(p.Notes) > 0 {
		t.Errorf("notes: %q", p.Notes)
	}
	s, err := restore.Execute(t.Context(), p, restore.Options{})
	if err != nil {
		logSteps(t, p)
		t.Fatal(err)
	}
	defer s.Close()
	isomorphic(t, "what was restored", first, s.Live)
	checkBindings(t, s.Bindings)
	checkHolders(t, image, s.Bindings)
	if seed%4 == 0 {
		stands(t, s, first)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	noChildren(t)
}

// stands commits a tree, looks at what goes on without its maker, and removes it.
func stands(t *testing.T, s *restore.Standing, want *topology.Graph) {
	t.Helper()
	tree := commit(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	isomorphic(t, "what stands", want, dumpTree(t, tree.Keeper.PID))
	checkBindings(t, tree.Namespaces)
	if err := restore.Remove(tree.Name); err != nil {
		t.Fatal(err)
	}
}

func dumpTree(t testing.TB, pid int) *topology.Graph {
	t.Helper()
	g, err := dump.Tree(t.Context(), pid, dump.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range g.Header.Missing {
		// That of one with no task can only be seen by mounting, and is not
		// compared.
		if strings.Contains(line, ": cgroup root: ") {
			continue
		}
		// Who was on the way out can look like one that must not be looked at.
		var pid int
		if n, _ := fmt.Sscanf(line, "pid %d", &pid); n == 1 && unix.Kill(pid, 0) == unix.ESRCH {
			continue
		}
		if strings.HasPrefix(line, "/proc: tasks ended before they were read") { // of others on the host
			continue
		}
		t.Errorf("not seen: %s", line)
	}
	return g
}

// isomorphic compares all but clock offsets, since clocks go on.
func isomorphic(t testing.TB, what string, want, got *topology.Graph) {
	t.Helper()
	if _, err := topology.Isomorphic(want, got, topology.CompareOptions{IgnoreOffsets: true}); err != nil {
		t.Fatalf("%s: %v\nwant:\n%s\ngot:\n%s", what, err, draw(t, want), draw(t, got))
	}
}

func draw(t testing.TB, g *topology.Graph) string {
	t.Helper()
	var b bytes.Buffer
	if err := topology.WriteTree(&b, g, topology.TreeOptions{}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// transport puts a graph into an image and takes it out again.
func transport(t testing.TB, g *topology.Graph) *topology.Graph {
	t.Helper()
	var b bytes.Buffer
	if err := images.Encode(&b, g); err != nil {
		t.Fatal(err)
	}
	out, err := images.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// planned plans a graph for this host, which is to have nothing against it.
func planned(t testing.TB, g *topology.Graph) *restore.Plan {
	t.Helper()
	host, err := restore.ReadHost()
	if err != nil {
		t.Fatal(err)
	}
	p, err := restore.NewPlan(g, host.PlanOptions())
	if err != nil {
		t.Fatal(err)
	}
	if err := restore.Preflight(p, host); err != nil {
		t.Fatal(err)
	}
	return p
}

// checkBindings follows each binding.
func checkBindings(t testing.TB, list []restore.Binding) {
	t.Helper()
	for _, b := range list {
		if got, err := os.Readlink(b.Path); err != nil || got != b.Live {
			t.Errorf("%s: %s leads to %q, %v; want %s", b.Image, b.Path, got, err, b.Live)
		}
	}
}

// checkHolders looks whether each holder is where the first process of its pid
// namespace was.
func checkHolders(t testing.TB, image *topology.Graph, list []restore.Binding) {
	t.Helper()
	of := map[string]restore.Binding{}
	for _, b := range list {
		of[b.Image] = b
	}
	for _, task := range image.Tasks {
		pid := task.Namespaces[topology.InPID]
		if pid.External || task.TID != task.PID || task.NSPID[len(task.NSPID)-1] != 1 {
			continue
		}
		for _, typ := range topology.Types {
			l := topology.LinkOf(typ)
			n := task.Namespaces[l]
			want := of[n.Name()].Live
			if n.External {
				var err error
				if want, err = os.Readlink("/proc/self/ns/" + l.String()); err != nil {
					t.Fatal(err)
				}
			}
			got, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", of[pid.Name()].PID, l))
			if err != nil || got != want {
				t.Errorf("holder of %s: its %s is %s, %v; want %s, which stands for %s", pid.Name(), l, got, err, want, n.Name())
			}
		}
	}
}
