package dump

import (
	"context"
	"errors"
	"fmt"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// Reference says which namespace someone means: net:[4026531840], :42 (its id),
// 4711/net, 4711:52340/net (of the process with that start time) or a path.
type Reference struct{ loc nsfs.Locator }

// ParseReference reads a reference to a namespace. The error is about its form.
func ParseReference(s string) (Reference, error) {
	loc, err := nsfs.ParseLocator(s)
	return Reference{loc}, err
}

// String returns the reference as ParseReference reads it.
func (r Reference) String() string { return r.loc.String() }

// Type returns the type of the namespace as far as the reference says it: that of
// a path and of an id is seen when it is opened, and 0 until then.
func (r Reference) Type() topology.Type {
	switch {
	case r.loc.Ref.Type != 0:
		return typeOf(r.loc.Ref.Type)
	case r.loc.Task.PID != 0:
		return typeOf(r.loc.Link.Type())
	}
	return 0
}

// Open opens the namespace. By its name, and where the kernel does not open it
// by its id, it has to be found first: then the tasks of the host are looked
// through and, where none is in it, all that a dump looks at.
func (r Reference) Open(ctx context.Context) (*nsfs.NS, error) {
	p, err := nsfs.OpenProc()
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return r.open(ctx, p)
}

func (r Reference) open(ctx context.Context, p *nsfs.Proc) (*nsfs.NS, error) {
	ns, err := r.loc.Open(p)
	switch {
	case err == nil:
		return ns, nil
	case r.loc.Ref.Type != 0:
	case r.loc.ID == 0:
		return nil, err
	case nsfs.HaveNSID(p) != nil:
		return nil, fmt.Errorf("namespace %s: this kernel gives no ids (Linux 6.18 does): refer to it in another way, such as PID/net", r)
	}
	return r.search(ctx, p)
}

// Find finds the namespace in a graph that was taken on this host just now.
func (r Reference) Find(ctx context.Context, g *topology.Graph) (*topology.Namespace, error) {
	if r.loc.Ref.Type != 0 || r.loc.ID != 0 {
		return r.lookup(g)
	}
	ns, err := r.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	ref, err := ns.Ref()
	if err != nil {
		return nil, err
	}
	n := g.Index().Lookup(typeOf(ref.Type), ref.Ino)
	if id, err := ns.ID(); err == nil && n != nil && n.ID != 0 && n.ID != uint64(id) {
		n = nil // one before it, of the same number
	}
	if n == nil {
		return nil, fmt.Errorf("%s is %s, which was not in sight when the host was looked at", r, ref)
	}
	return n, nil
}

// lookup finds a namespace by what a graph has of it.
func (r Reference) lookup(g *topology.Graph) (*topology.Namespace, error) {
	if r.loc.Ref.Type != 0 {
		if n := g.Index().Lookup(typeOf(r.loc.Ref.Type), r.loc.Ref.Ino); n != nil {
			return n, nil
		}
		return nil, fmt.Errorf("there is no %s in sight%s", r, unseen(g))
	}
	ids := false
	for _, n := range g.Namespaces {
		if n.ID == uint64(r.loc.ID) {
			return n, nil
		}
		ids = ids || n.ID != 0
	}
	if !ids {
		return nil, errors.New("there are no namespace ids to be had (Linux 6.18 gives them)")
	}
	return nil, fmt.Errorf("there is no namespace with the id %d in sight%s", uint64(r.loc.ID), unseen(g))
}

// unseen says of a graph that it may lack what was looked for.
func unseen(g *topology.Graph) string {
	if g.Header.Complete {
		return ""
	}
	return fmt.Sprintf(" (%d things could not be seen, and it may be among them)", len(g.Header.Missing))
}

// TaskReference says which process someone means: 4711, 4711:52340 with its start
// time, or self.
type TaskReference struct{ loc nsfs.TaskLocator }

// ParseTaskReference reads a reference to a process. The error is about its form.
func ParseTaskReference(s string) (TaskReference, error) {
	loc, err := nsfs.ParseTaskLocator(s)
	return TaskReference{loc}, err
}

// String returns the reference as ParseTaskReference reads it.
func (r TaskReference) String() string { return r.loc.String() }
