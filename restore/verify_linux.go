package restore

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// verify dumps what was made, and compares.
func (s *Standing) verify(ctx context.Context) error {
	if err := s.closeUnkept(ctx); err != nil {
		return err
	}
	// Its mount namespaces are copies of the caller's, whose mounts are not the
	// tree's.
	o := s.o.Dump
	o.NoBinds = true
	o.NoSysctls = true // the steps that set them look themselves
	o.Processes = s.e.processes()
	o.Kin = s.crew // so that nothing of them outlives what is done to find the others
	var err error
	if s.Live, err = dump.Tree(ctx, s.crew.Guardian().PID(), o); err != nil {
		return fmt.Errorf("look at what was made: %w", err)
	}
	live, err := s.find()
	if err != nil {
		return fmt.Errorf("look at what was made: %w", s.partly(err))
	}
	if err := s.checkPIDs(s.Live); err != nil {
		return fmt.Errorf("look at what was made: %w", err)
	}
	if err := s.setExternal(s.Live); err != nil {
		return fmt.Errorf("look at what was made: %w", err)
	}
	for n, l := range live {
		s.e.settle(n, l)
		if err := s.e.sameClocks(n, l); err != nil {
			return err
		}
	}
	if _, err := topology.Isomorphic(s.plan.Graph, s.Live, topology.CompareOptions{IgnoreSysctls: true, IgnoreOffsets: true}); err != nil {
		if len(s.Live.Header.Missing) > 0 {
			return fmt.Errorf("look at what was made: %w", s.partly(err))
		}
		return fmt.Errorf("what was made is not what the image has: %w", err)
	}
	s.bind(live)
	return nil
}

// partly adds to what is wrong with what was seen that not all was.
func (s *Standing) partly(err error) error {
	if missing := s.Live.Header.Missing; len(missing) > 0 {
		return fmt.Errorf("not all of it could be seen: %s: so far, %w", strings.Join(missing, "; "), err)
	}
	return err
}

// processes returns the numbers of all processes that the tree consists of.
func (e *executor) processes() []int {
	var pids []int
	add := func(a *agent.Agent) {
		if a != nil && a.PID() > 0 && e.crew.Has(a.PID()) { // and not another's by now
			pids = append(pids, a.PID())
		}
	}
	add(e.inner)
	ended := map[int]bool{}
	for _, by := range e.ended {
		ended[by] = true
	}
	for by, a := range e.agents {
		if !ended[by] {
			add(a)
		}
	}
	return pids
}

// closeUnkept lets go of the descriptors that are wanted no more, so that what
// is verified is kept by what will keep it.
func (s *Standing) closeUnkept(ctx context.Context) error {
	keep := map[*topology.Namespace]bool{}
	for _, n := range s.plan.Keep {
		keep[n] = true
	}
	var p agent.Program
	for _, n := range s.plan.Graph.Namespaces {
		if fd := s.e.fds[n]; fd != nil && !keep[n] {
			p.Call("close "+n.Name(), unix.SYS_CLOSE, agent.Int(fd.Value()))
		}
	}
	return s.e.agents[0].Run(ctx, &p)
}

// find returns which live namespace stands for each of the image: where a holder
// is in it, the one that the dump saw that process in, and else the one that
// the keeper has a descriptor of.
func (s *Standing) find() (map[*topology.Namespace]*topology.Namespace, error) {
	tasks := leaders(s.Live)
	live := map[*topology.Namespace]*topology.Namespace{}
	for _, h := range s.plan.Holders {
		t := tasks[s.e.agents[h.Agent].PID()]
		if t == nil {
			return nil, fmt.Errorf("holder %d is not there", s.e.agents[h.Agent].PID())
		}
		for l, n := range h.In {
			if n != nil && !n.External && t.Namespaces[l] != nil {
				live[n] = t.Namespaces[l]
			}
		}
	}
	index := s.Live.Index()
	for _, n := range s.plan.Keep {
		ino, err := s.e.inode(n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.Name(), err)
		}
		if live[n] = index.Lookup(n.Type, ino); live[n] == nil {
			return nil, fmt.Errorf("%s is not there", n.Name())
		}
	}
	for _, n := range s.plan.Sockets {
		if live[n] = s.withSocket(s.e.sockets[n].Value()); live[n] == nil {
			return nil, fmt.Errorf("%s is not there", n.Name())
		}
	}
	return live, nil
}

// withSocket returns the net namespace that the dump saw a socket of the crew in.
func (s *Standing) withSocket(fd int) *topology.Namespace {
	for _, l := range s.Live.Namespaces {
		for _, p := range l.Pins {
			if p.Kind == topology.PinSocket && p.FD == fd && s.crew.Has(p.PID) {
				return l
			}
		}
	}
	return nil
}

// settle drops from live what the image does not know of n, so that it is not
// compared, and notes what was not looked at again: the steps that set it did.
func (e *executor) settle(n, live *topology.Namespace) {
	if n.UTS == nil {
		live.UTS = nil
	}
	if n.Time == nil {
		live.Time = nil
	}
	if n.IPC != nil {
		live.IPC = &topology.IPCState{Sysctls: e.wasSet(n, n.IPC.Sysctls)}
	}
	if n.Net != nil {
		live.Net = &topology.NetState{Loopback: n.Net.Loopback, Sysctls: e.wasSet(n, n.Net.Sysctls)}
	}
	if live.User != nil && n.User != nil {
		live.User.Sysctls = e.wasSet(n, n.User.Sysctls)
	}
	if live.PID != nil && n.PID != nil && !e.settings.left[n]["kernel.pid_max"] {
		live.PID.PIDMax = n.PID.PIDMax
	}
}

// bind says where each namespace is to be found.
func (s *Standing) bind(live map[*topology.Namespace]*topology.Namespace) {
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
		if l := live[n]; l != nil {
			b.Live, b.NSID = l.Name(), l.ID
		}
		switch {
		case b.PID != 0:
			b.Path = fmt.Sprintf("/proc/%d/ns/%s", b.PID, n.Type)
		case s.e.fds[n] != nil && live[n] != nil && n.State != topology.Hidden:
			b.PID = s.crew.Guardian().PID()
			b.Path = s.e.procFile(s.e.fds[n].Value())
		}
		s.Bindings = append(s.Bindings, b)
	}
}
