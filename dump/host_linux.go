package dump

import (
	"context"
	"errors"
	"fmt"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// Host is the running system, as far as the calling process sees it. It answers
// questions about single tasks and namespaces without a look at all the others.
// It holds a verified handle of /proc and has one owner, who closes it; several
// goroutines may use it.
type Host struct{ proc *nsfs.Proc }

// OpenHost opens the host: a procfs of the caller's own pid namespace at /proc.
func OpenHost() (*Host, error) {
	p, err := nsfs.OpenProc()
	if err != nil {
		return nil, err
	}
	return &Host{p}, nil
}

// Close closes the handle.
func (h *Host) Close() error { return h.proc.Close() }

// Open opens the namespace that r refers to. By its name, and where the kernel
// does not open it by its id, it has to be found first: then the tasks of the host
// are looked through and, where none is in it, all that a dump looks at.
func (h *Host) Open(ctx context.Context, r Reference) (*nsfs.NS, error) {
	ns, err := r.loc.Open(h.proc)
	switch {
	case err == nil:
		return ns, nil
	case r.loc.Ref.Type != 0:
	case r.loc.ID == 0:
		return nil, unreadable(r.loc.Task.PID, err)
	case nsfs.HaveNSID(h.proc) != nil:
		return nil, fmt.Errorf("namespace %s: this kernel gives no ids (Linux 6.18 does): refer to it in another way, such as PID/net", r)
	}
	return r.search(ctx, h.proc)
}

// ErrNoUsers says that a kernel has no user namespaces (CONFIG_USER_NS), in whose tree
// it is decided who may do what to a namespace. There, what capabilities a task has
// effective it holds over everything: see CapEff in /proc/PID/status.
var ErrNoUsers = errors.New("this kernel has no user namespaces (CONFIG_USER_NS): the capabilities in CapEff of /proc/PID/status hold over everything")

// haveUsers returns ErrNoUsers on such a kernel.
func (h *Host) haveUsers() error {
	self, err := h.proc.Self()
	if err != nil {
		return err
	}
	defer self.Close()
	if _, err := self.Ref(nsfs.InUser); errors.Is(err, nsfs.ErrGone) {
		return ErrNoUsers
	}
	return nil
}

// Identify returns a reference to the process that r refers to now, and to no other
// that gets its number later: one with a start time.
func (h *Host) Identify(r TaskReference) (TaskReference, error) {
	t, err := r.loc.Open(h.proc)
	if err != nil {
		return r, err
	}
	defer t.Close()
	start, err := t.StartTime()
	return TaskReference{nsfs.TaskLocator{PID: t.PID(), Start: start}}, err
}

// Find finds the namespace in a graph that was taken on this host just now.
func (h *Host) Find(ctx context.Context, r Reference, g *topology.Graph) (*topology.Namespace, error) {
	if r.loc.Ref.Type != 0 || r.loc.ID != 0 {
		return r.lookup(g)
	}
	ns, err := h.Open(ctx, r)
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
