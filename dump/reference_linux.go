package dump

import (
	"errors"
	"fmt"
	"os"

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
	return " (not everything could be seen, and it may be among that)"
}

// TaskReference says which process someone means: 4711, 4711:52340 with its start
// time, or self.
type TaskReference struct{ loc nsfs.TaskLocator }

// ParseTaskReference reads a reference to a process. The error is about its form.
func ParseTaskReference(s string) (TaskReference, error) {
	loc, err := nsfs.ParseTaskLocator(s)
	return TaskReference{loc}, err
}

// PID returns the number of the process.
func (r TaskReference) PID() int {
	if r.loc.PID == nsfs.SelfPID {
		return os.Getpid()
	}
	return r.loc.PID
}

// String returns the reference as ParseTaskReference reads it.
func (r TaskReference) String() string { return r.loc.String() }
