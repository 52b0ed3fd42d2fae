package restore

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// verify dumps what was made, and compares.
func (s *Standing) verify(ctx context.Context) error {
	inodes, err := s.inodes()
	if err != nil {
		return fmt.Errorf("look at what was made: %w", err)
	}
	if err := s.e.closeHidden(ctx); err != nil {
		return err
	}
	if s.Live, err = dump.Tree(ctx, s.crew.Guardian().PID(), s.o.Dump); err != nil {
		return fmt.Errorf("look at what was made: %w", err)
	}
	index := s.Live.Index()
	live := map[*topology.Namespace]*topology.Namespace{}
	for n, ino := range inodes {
		live[n] = index.Lookup(n.Type, ino)
		if live[n] != nil {
			forget(n, live[n])
		}
	}
	if _, err := topology.Isomorphic(s.plan.Graph, s.Live, topology.CompareOptions{}); err != nil {
		return fmt.Errorf("what was made is not what the image has: %w", err)
	}
	s.bind(inodes, live)
	return nil
}

// inodes returns the number of every namespace that was made and can be asked
// for it.
func (s *Standing) inodes() (map[*topology.Namespace]uint64, error) {
	list := map[*topology.Namespace]uint64{}
	for _, n := range s.plan.Made() {
		ino, err := s.e.inode(n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.Name(), err)
		}
		if ino != 0 {
			list[n] = ino
		}
	}
	return list, nil
}

// forget drops from live what the image does not know of n, so that it is not
// compared.
func forget(n, live *topology.Namespace) {
	if n.UTS == nil {
		live.UTS = nil
	}
	if n.Time == nil {
		live.Time = nil
	}
}

// bind says where each namespace is to be found.
func (s *Standing) bind(inodes map[*topology.Namespace]uint64, live map[*topology.Namespace]*topology.Namespace) {
	holder := map[*topology.Namespace]int{}
	for _, h := range s.plan.Holders {
		pid := s.e.agents[h.Agent].PID()
		for _, n := range h.In {
			if n != nil && holder[n] == 0 {
				holder[n] = pid
			}
		}
	}
	for _, n := range s.plan.Made() {
		b := Binding{Image: n.Name(), PID: holder[n]}
		if ino := inodes[n]; ino != 0 {
			b.Live = (&topology.Namespace{Type: n.Type, Ino: ino}).Name()
		}
		if l := live[n]; l != nil {
			b.NSID = l.ID
		}
		switch {
		case b.PID != 0:
			b.Path = fmt.Sprintf("/proc/%d/ns/%s", b.PID, n.Type)
		case n.State != topology.Hidden && s.e.fds[n] != nil:
			b.PID = s.crew.Guardian().PID()
			b.Path = s.e.procFile(s.e.fds[n].Value())
		}
		s.Bindings = append(s.Bindings, b)
	}
}

// closeHidden lets go of the namespaces that nothing but an edge is to lead to.
func (e *executor) closeHidden(ctx context.Context) error {
	var p agent.Program
	for _, n := range e.plan.Graph.Namespaces {
		if n.State == topology.Hidden && !n.External && e.fds[n] != nil {
			p.Call("close "+n.Name(), unix.SYS_CLOSE, agent.Int(e.fds[n].Value()))
		}
	}
	return e.agents[0].Run(ctx, &p)
}
