//go:build linux

package dump

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/test/seed"
	"github.com/renest/renest/topology"
)

// TestChurn dumps the host while every second 200 tasks come, each with namespaces
// of its own, and go. What vanishes midway is no error; what lives from before to
// after is there, with what pins it; nothing is said to belong where it does not.
func TestChurn(t *testing.T) {
	asUser(t)
	long := 5 * time.Second
	switch {
	case os.Getenv("RENEST_LONG") != "":
		long = 2 * time.Minute
	case testing.Short():
		long = time.Second
	}
	h := newHiding(t)
	still := []*secret{between(h), netByFD(h), netBySocket(h), mountedNowhere(h), timeForChildren(h), deadParent(h), ownerOnly(h)}
	c := startChurn(t)
	passed := startRelay(t)
	dumps, missing := 0, map[string]int{}
	start := time.Now()
	for ; time.Since(start) < long && !t.Failed(); dumps++ {
		before := c.begin()
		g, err := All(t.Context(), Options{NoState: dumps%2 == 0})
		if err != nil {
			t.Fatal(err)
		}
		after := c.alive()
		if err := g.Validate(); err != nil {
			t.Error(err)
		}
		for _, line := range g.Header.Missing {
			if os.Geteuid() == 0 && !strings.HasPrefix(line, "pid 1 ") { // which some machines shield even from root
				missing[line]++
			}
		}
		found := g.Index()
		for _, s := range still {
			n := found.Lookup(typeOf(s.ref.Type), s.ref.Ino)
			if n == nil {
				t.Fatalf("%s, which stands still, is not there", s.ref)
			}
			checkSecret(t, n, s, c.ours)
		}
		// Listns(2) does not depend on tasks.
		said := g.Header.Source == Proc.String() && slices.ContainsFunc(g.Header.Missing, saysEnded)
		if found.Lookup(topology.UTS, passed.Ino) == nil && !said {
			t.Errorf("%s, which tasks hand on, is not there, and nothing said of it: %q", passed, g.Header.Missing)
		}
		for pid, refs := range before {
			// A number may be another's by now: others on the host choose their own.
			if now, lives := after[pid]; lives && slices.Equal(now, refs) {
				checkSurvivor(t, found, pid, refs)
			}
		}
		c.checkEdges(g)
	}
	c.end()
	t.Logf("%d dumps, %.0f tasks a second, %d of %d ended at once",
		dumps, float64(c.born)/time.Since(start).Seconds(), c.went, c.born)
	for line, n := range missing {
		t.Logf("missing from %d: %s", n, line)
	}
}

// checkSurvivor wants what a task that lived through a dump is in to be there, and
// the task to be among the pins.
func checkSurvivor(t *testing.T, found *topology.Index, pid int, refs []nsfs.Ref) {
	t.Helper()
	for _, r := range refs {
		n := found.Lookup(typeOf(r.Type), r.Ino)
		if n == nil {
			t.Errorf("%s of pid %d, which lived through, is not there", r, pid)
			continue
		}
		if !slices.Contains(describePins(n), fmt.Sprintf("task %d", pid)) {
			t.Errorf("%s of pid %d, which lived through: pins %v", r, pid, describePins(n))
		}
	}
}

// churn makes tasks, and ends them.
type churn struct {
	t    *testing.T
	root *agent.Agent
	seed uint64
	stop chan struct{}
	done sync.WaitGroup

	mu   sync.Mutex
	born int
	went int                // of those, that ended at once
	all  map[int][]nsfs.Ref // those that were there since begin
	live map[int][]nsfs.Ref
}

func startChurn(t *testing.T) *churn {
	c := &churn{t: t, root: nest(t), seed: seed.Of(t), stop: make(chan struct{}), all: map[int][]nsfs.Ref{}, live: map[int][]nsfs.Ref{}}
	c.done.Go(c.run)
	t.Cleanup(c.end) // where the test fails, before its agents end
	return c
}

// end ends the churn. It may be called twice.
func (c *churn) end() {
	select {
	case <-c.stop:
	default:
		close(c.stop)
	}
	c.done.Wait()
}

func (c *churn) run() {
	const rate, burst = 200, 16
	rnd := rand.New(rand.NewPCG(c.seed, 0))
	var agents []*agent.Agent
	start := time.Now()
	for {
		select {
		case <-c.stop:
			return
		default:
		}
		if len(agents) > 0 && rnd.IntN(24) < len(agents) {
			i := rnd.IntN(len(agents))
			c.kill(agents[i])
			agents = slices.Delete(agents, i, i+1)
			continue
		}
		switch ahead := time.Duration(c.born)*time.Second/rate - time.Since(start); {
		case ahead > 0:
			time.Sleep(ahead)
		case ahead < -burst*time.Second/rate && len(agents) > 3: // too slow a machine for more of those that live on
			if err := c.pass(rnd, burst); err != nil {
				c.t.Error(err)
				return
			}
			continue
		}
		flags := churnFlags(rnd)
		a, err := c.root.Fork(c.t.Context(), "fork", agent.ForkOptions{Flags: uint64(flags)})
		if err != nil {
			c.t.Error(err)
			return
		}
		c.add(a.PID(), flags)
		agents = append(agents, a)
	}
}

func churnFlags(rnd *rand.Rand) nsfs.Type {
	return nsfs.User | nsfs.Types[rnd.IntN(len(nsfs.Types)-1)] | nsfs.Types[rnd.IntN(len(nsfs.Types)-1)]
}

// pass makes tasks that end at once: the cheapest there are, as no word is had with
// any of them.
func (c *churn) pass(rnd *rand.Rand, n int) error {
	var p agent.Program
	for range n {
		var child agent.Program
		child.Call("getpid", unix.SYS_GETPID)
		// Net namespaces end slowly, some while after their tasks.
		flags := churnFlags(rnd) &^ nsfs.Net
		p.Spawn(c.root.Crew(), "spawn", agent.ForkOptions{Flags: uint64(flags)}, &child).MayFail()
	}
	err := c.root.Run(c.t.Context(), &p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.born += n
	c.went += n
	return err
}

func (c *churn) add(pid int, flags nsfs.Type) {
	refs := c.refs(pid, flags)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.born++
	c.all[pid], c.live[pid] = refs, refs
}

func (c *churn) kill(a *agent.Agent) {
	pid := a.PID()
	c.mu.Lock()
	delete(c.live, pid)
	c.mu.Unlock()
	if err := a.Exit(c.t.Context()); err != nil {
		c.t.Error(err)
	}
}

// refs reads which namespaces a task was made in.
func (c *churn) refs(pid int, flags nsfs.Type) (refs []nsfs.Ref) {
	p, err := nsfs.OpenProc()
	if err != nil {
		c.t.Error(err)
		return nil
	}
	defer p.Close()
	task, err := p.Task(pid)
	if err != nil {
		c.t.Error(err)
		return nil
	}
	defer task.Close()
	for l := range nsfs.PIDForChildren {
		if l.Type()&flags == 0 {
			continue
		}
		r, err := task.Ref(l)
		if err != nil {
			c.t.Error(err)
			return nil
		}
		refs = append(refs, r)
	}
	return refs
}

// begin begins with the tasks that are there now, and returns them.
func (c *churn) begin() map[int][]nsfs.Ref {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = maps.Clone(c.live)
	return maps.Clone(c.live)
}

// ours reports whether a process is one of those, or this one.
func (c *churn) ours(pid int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all[pid] != nil || pid == os.Getpid()
}

// alive returns the tasks that are there now.
func (c *churn) alive() map[int][]nsfs.Ref {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.live)
}

// checkEdges holds a dump against how the tasks were made: each in a user
// namespace of its own, which owns all else that is its own.
func (c *churn) checkEdges(g *topology.Graph) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	in := map[*topology.Namespace]int{}
	for _, task := range g.Tasks {
		user := task.Namespaces[topology.InUser]
		if user == nil || user.External {
			continue
		}
		// Where that is not what the churn made, the number was another process's.
		if !slices.Contains(c.all[task.PID], nsfs.Ref{Type: nsfs.User, Ino: user.Ino}) {
			continue
		}
		if user.Parent == nil || !user.Parent.External {
			c.t.Errorf("pid %d: %s is not a child of the caller's", task.PID, user.Name())
		}
		for l, n := range task.Namespaces[:topology.PIDForChildren] {
			switch {
			case n == nil || n.External:
				continue
			case in[n] != 0:
				c.t.Errorf("pid %d and %d are both in %s", in[n], task.PID, n.Name())
			case topology.Link(l) != topology.InUser && n.Owner != user:
				c.t.Errorf("pid %d: %s is not owned by %s", task.PID, n.Name(), user.Name())
			}
			in[n] = task.PID
		}
	}
}

// startRelay has tasks hand on a namespace, each to a child, until the test ends.
func startRelay(t *testing.T) nsfs.Ref {
	root := nest(t)
	a := fork(t, fork(t, root, nsfs.User), nsfs.UTS)
	task, err := testProc(t).Task(a.PID())
	if err != nil {
		t.Fatal(err)
	}
	defer task.Close()
	ref, err := task.Ref(nsfs.InUTS)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			b, err := a.Fork(t.Context(), "fork", agent.ForkOptions{})
			if err == nil {
				err = a.Exit(t.Context())
			}
			if err != nil {
				if t.Context().Err() == nil {
					t.Error(err)
				}
				return
			}
			a = b
		}
	})
	t.Cleanup(func() { close(stop); done.Wait() }) // before the agents end
	return ref
}
