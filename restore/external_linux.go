package restore

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// Resolve looks up what plan names on this host, so that [Preflight] can judge it:
// what the references of plan.Bound lead to, and what is where plan.Pins are to be.
// An error is trouble with the host as a whole.
func (h *Host) Resolve(ctx context.Context, plan *Plan) error {
	h.lookPins(plan)
	h.lookPIDs(plan)
	if len(plan.Bound) == 0 {
		return nil
	}
	host, err := dump.OpenHost()
	if err != nil {
		return err
	}
	defer host.Close()
	h.Bound = map[string]Target{}
	for _, ref := range plan.Bound {
		if _, ok := h.Bound[ref]; !ok {
			h.Bound[ref] = resolve(ctx, host, ref)
		}
	}
	return nil
}

func resolve(ctx context.Context, host *dump.Host, ref string) Target {
	ns, err := openReference(ctx, host, ref)
	if err != nil {
		return Target{Err: err}
	}
	defer ns.Close()
	r, err := ns.Ref()
	if err != nil {
		return Target{Err: err}
	}
	t := Target{Type: typeOf(r.Type), Ino: r.Ino}
	owner, err := ns.Owner()
	if err != nil {
		t.Err = fmt.Errorf("%s belongs to a user namespace above your own: restore from further up: %w", r, err)
		return t
	}
	_ = owner.Close()
	return t
}

func openReference(ctx context.Context, host *dump.Host, text string) (*nsfs.NS, error) {
	ref, err := dump.ParseReference(text)
	if err != nil {
		return nil, err
	}
	return host.Open(ctx, ref)
}

// typeOf translates a type of the kernel's.
func typeOf(t nsfs.Type) topology.Type {
	typ, err := topology.ParseType(t.String())
	if err != nil {
		panic(err) // both name the same eight
	}
	return typ
}

// targets are the namespaces that are bound to external ones of a plan, opened.
type targets struct {
	files []*os.File // for the agents
	inos  map[*topology.Namespace]uint64
	order []*topology.Namespace // of files
}

// openTargets opens what stands for the external namespaces of plan.
func openTargets(ctx context.Context, plan *Plan) (t targets, err error) {
	t.inos = map[*topology.Namespace]uint64{}
	if len(plan.Bound) == 0 {
		return t, nil
	}
	host, err := dump.OpenHost()
	if err != nil {
		return t, err
	}
	defer host.Close()
	for _, n := range plan.External {
		ref, ok := plan.Bound[n]
		if !ok {
			continue
		}
		if err := t.open(ctx, host, n, ref); err != nil {
			t.close()
			return t, fmt.Errorf("external %s=%s: %w", n.Name(), ref, err)
		}
	}
	return t, nil
}

func (t *targets) open(ctx context.Context, host *dump.Host, n *topology.Namespace, text string) error {
	ns, err := openReference(ctx, host, text)
	if err != nil {
		return err
	}
	defer ns.Close()
	ref, err := ns.Ref()
	if err != nil {
		return err
	}
	if typeOf(ref.Type) != n.Type {
		return wrongType(n, ref.String())
	}
	f, err := duplicate(ns.FD(), ref.String())
	if err != nil {
		return err
	}
	t.files, t.order, t.inos[n] = append(t.files, f), append(t.order, n), ref.Ino
	return nil
}

// close gives back the files once the agents have theirs.
func (t *targets) close() {
	for _, f := range t.files {
		_ = f.Close()
	}
	t.files = nil
}

// take makes the descriptors of targets, which are in the agents' table from
// first on, those of the namespaces they stand for.
func (e *executor) take(p *agent.Program, t targets, first int) {
	for i, n := range t.order {
		e.fds[n] = p.Call("take "+n.Name(), unix.SYS_FCNTL, agent.Int(first+i), agent.Int(unix.F_DUPFD_CLOEXEC), agent.Int(0))
		p.Call("close", unix.SYS_CLOSE, agent.Int(first+i))
	}
}

// setExternal marks in live what is bound, and all above it, as what they are:
// external. It returns an error where a holder is not in what it should be in.
func (s *Standing) setExternal(live *topology.Graph) error {
	index := live.Index()
	for n, ino := range s.targets.inos {
		for l := index.Lookup(n.Type, ino); l != nil && !l.External; l = l.Owner {
			l.External, l.State = true, topology.Active
		}
	}
	tasks := leaders(live)
	for _, h := range s.plan.Holders {
		t := tasks[s.e.agents[h.Agent].PID()]
		for link, n := range h.In {
			ino, ok := s.targets.inos[n]
			if !ok || t == nil || t.Namespaces[link] == nil {
				continue
			}
			if at := t.Namespaces[link]; at.Ino != ino {
				return errors.New(t.Comm + " is in " + at.Name() + ", not in what stands for " + n.Name())
			}
		}
	}
	return nil
}

// leaders returns the tasks of a graph that are no other's threads, by number.
func leaders(g *topology.Graph) map[int]*topology.Task {
	tasks := map[int]*topology.Task{}
	for _, t := range g.Tasks {
		if t.TID == t.PID {
			tasks[t.PID] = t
		}
	}
	return tasks
}
