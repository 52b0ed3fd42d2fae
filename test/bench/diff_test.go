package bench

import (
	"errors"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/renest/renest/images"
	"github.com/renest/renest/topology"
	"github.com/renest/renest/topology/topologytest"
)

// BenchmarkDiff has renest compare two images of ten thousand namespaces each, from
// its start to its end: the same ones with other numbers and in another order, with
// twenty of them changed, and with nothing in common; beside reading the two, and a
// renest that only starts. A second is the budget of each.
func BenchmarkDiff(b *testing.B) {
	renest, dir := build(b), b.TempDir()
	rng := rand.New(rand.NewPCG(1, 42))
	options := topologytest.Options{Namespaces: 10_000, Depth: 12, Tasks: true}
	write := func(name string, g *topology.Graph) string {
		if err := g.SortCreation(); err != nil {
			b.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := images.WriteFile(path, g); err != nil {
			b.Fatal(err)
		}
		return path
	}
	g := topologytest.Random(rng, options)
	changed := topologytest.Renumbered(rng, g)
	for left := 20; left > 0; {
		if n := changed.Namespaces[rng.IntN(len(changed.Namespaces))]; n.UTS != nil && !n.External {
			n.UTS.NodeName += "-changed"
			left--
		}
	}
	first := write("first", g)
	for name, second := range map[string]string{
		"renumbered": write("renumbered", topologytest.Renumbered(rng, g)),
		"changed":    write("changed", changed),
		"unlike":     write("unlike", topologytest.Random(rng, options)),
	} {
		b.Run(name, func(b *testing.B) {
			diff := timed(renest, "diff", first, second)
			took := contest(b, 5,
				contender{name: "diff", run: func() (time.Duration, error) { return differing(diff) }},
				contender{name: "show-both", run: func() (time.Duration, error) {
					one, err := timed(renest, "show", first, "--json")()
					two, err2 := timed(renest, "show", second, "--json")()
					return one + two, errors.Join(err, err2)
				}},
				contender{name: "version", run: timed(renest, "--version")},
			)
			b.Logf("%.2f s of 1 s", took.Seconds())
		})
	}
}

// differing runs a command whose exit code 1 is an answer.
func differing(run func() (time.Duration, error)) (time.Duration, error) {
	start := time.Now()
	took, err := run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return time.Since(start), nil
	}
	return took, err
}
