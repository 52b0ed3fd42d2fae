package dump

import (
	"context"
	"fmt"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// search finds and opens a namespace of which the name or the id is known. Most
// have a task in them, which a look at the links of all tasks finds.
func (r Reference) search(ctx context.Context, p *nsfs.Proc) (*nsfs.NS, error) {
	pids, err := p.PIDs(nil)
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w", r, err)
	}
	for _, pid := range pids {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("look for %s: %w", r, context.Cause(ctx))
		}
		if ns := r.ofTask(p, pid); ns != nil {
			return ns, nil
		}
	}
	g, err := All(ctx, Options{NoState: true})
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w", r, err)
	}
	n, err := r.lookup(g)
	if err != nil {
		return nil, err
	}
	o := opener{proc: p, g: g, tried: map[*topology.Namespace]bool{}}
	if ns := o.open(n); ns != nil {
		return ns, nil
	}
	return nil, fmt.Errorf("%s is there, and none of what holds it lets it be opened%s", n.Name(), unseen(g))
}

// ofTask opens the namespace if a process is in it.
func (r Reference) ofTask(p *nsfs.Proc, pid int) *nsfs.NS {
	t, err := p.Task(pid)
	if err != nil {
		return nil
	}
	defer t.Close()
	for l := range nsfs.Link(nsfs.NumLinks) {
		if r.loc.Ref.Type != 0 && l.Type() != r.loc.Ref.Type {
			continue
		}
		if !r.matches(t, l) {
			continue
		}
		ns, err := t.Open(l)
		if err != nil {
			continue
		}
		// The task may have gone elsewhere in between.
		ref, err1 := ns.Ref()
		id, err2 := ns.ID()
		if err1 == nil && (r.loc.ID == 0 && ref == r.loc.Ref || err2 == nil && r.loc.ID == id) {
			return ns
		}
		_ = ns.Close()
	}
	return nil
}

func (r Reference) matches(t nsfs.Task, l nsfs.Link) bool {
	if r.loc.ID == 0 {
		ref, err := t.Ref(l)
		return err == nil && ref == r.loc.Ref
	}
	h, err := t.Handle(l)
	return err == nil && h.ID == r.loc.ID
}

// opener opens a namespace of a graph by what holds it.
type opener struct {
	proc  *nsfs.Proc
	g     *topology.Graph
	tried map[*topology.Namespace]bool
}

// open returns nil where no way leads to n any more.
func (o *opener) open(n *topology.Namespace) *nsfs.NS {
	if n == nil || o.tried[n] {
		return nil
	}
	o.tried[n] = true
	t := nsfs.Types[n.Type-1]
	ways := []func() (*nsfs.NS, error){
		nsfs.Handle{ID: nsfs.ID(n.ID), Type: t, Ino: uint32(n.Ino)}.Open,
	}
	for _, p := range n.Pins {
		ways = append(ways, func() (*nsfs.NS, error) { return o.byPin(n, p) })
	}
	for _, way := range ways {
		ns, err := way()
		if err != nil || ns == nil {
			continue
		}
		ref, err := ns.Ref()
		id, iderr := ns.ID()
		if err == nil && ref == (nsfs.Ref{Type: t, Ino: n.Ino}) && (n.ID == 0 || iderr == nil && uint64(id) == n.ID) {
			return ns
		}
		_ = ns.Close() // another has its number by now
	}
	return nil
}

// byPin opens what a pin holds.
func (o *opener) byPin(n *topology.Namespace, p topology.Pin) (*nsfs.NS, error) {
	switch p.Kind {
	case topology.PinChild, topology.PinOwned:
		below := o.open(p.NS)
		if below == nil {
			return nil, nil
		}
		defer below.Close()
		if p.Kind == topology.PinChild {
			return below.Parent()
		}
		return below.Owner()
	case topology.PinBind:
		return o.byBind(p)
	}
	t, err := o.task(p)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	switch p.Kind {
	case topology.PinTask, topology.PinThread:
		return t.Open(nsfs.Link(topology.LinkOf(n.Type)))
	case topology.PinPIDForChildren:
		if ns, err := t.Open(nsfs.PIDForChildren); err == nil {
			return ns, nil
		}
		return t.OpenByPIDFD(nsfs.PIDForChildren)
	case topology.PinTimeForChildren:
		return t.Open(nsfs.TimeForChildren)
	case topology.PinFD:
		return t.OpenFD(p.FD)
	case topology.PinSocket:
		return openSocket(t, p.FD)
	}
	return nil, nil // in flight, which only a handle opens
}

// task opens the task or thread of a pin.
func (o *opener) task(p topology.Pin) (nsfs.Task, error) {
	t, err := o.proc.Task(p.PID)
	if err != nil || p.TID == 0 || p.TID == p.PID {
		return t, err
	}
	defer t.Close()
	return t.Thread(p.TID)
}

// byBind opens a bind mount through a task that sees it.
func (o *opener) byBind(p topology.Pin) (*nsfs.NS, error) {
	for _, t := range o.g.Tasks {
		if p.Mnt == nil || t.Namespaces[topology.InMnt] != p.Mnt || t.TID != t.PID {
			continue
		}
		task, err := o.proc.Task(t.PID)
		if err != nil {
			continue
		}
		ns, err := task.OpenBind(p.Path)
		task.Close()
		if err == nil {
			return ns, nil
		}
	}
	return nil, nil
}
