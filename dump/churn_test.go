//go:build linux

package dump

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
)

// TestChurn dumps a tree and the host while namespaces come and go. What vanishes
// midway is no error, and no part of a dump contradicts another.
func TestChurn(t *testing.T) {
	asUser(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	root := nest(t)
	stop := make(chan struct{})
	var churn sync.WaitGroup
	churn.Go(func() {
		rnd := rand.New(rand.NewPCG(seed, 0))
		alive := []*agent.Agent{root}
		for {
			select {
			case <-stop:
				return
			default:
			}
			if i := rnd.IntN(len(alive)); i > 0 && (len(alive) > 12 || rnd.IntN(3) == 0) {
				if err := alive[i].Exit(t.Context()); err != nil {
					t.Error(err)
				}
				alive = append(alive[:i], alive[i+1:]...)
				continue
			}
			flags := nsfs.User | nsfs.Types[rnd.IntN(len(nsfs.Types))] | nsfs.Types[rnd.IntN(len(nsfs.Types))]
			a, err := root.Fork(t.Context(), "fork", agent.ForkOptions{Flags: uint64(flags)})
			if err != nil {
				t.Error(err)
				return
			}
			alive = append(alive, a)
		}
	})
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); {
		g, err := Tree(t.Context(), root.PID(), Options{})
		if err != nil {
			t.Error(err)
			break
		}
		if err := g.Validate(); err != nil {
			t.Error(err)
		}
		if g, err = All(t.Context(), Options{}); err != nil {
			t.Error(err)
			break
		}
		if err := g.Validate(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	churn.Wait()
}
