package topology

import "slices"

// Clone returns a deep copy of g. Edges that lead out of g still do.
func (g *Graph) Clone() *Graph {
	out := &Graph{Header: g.Header}
	out.Header.Missing = slices.Clone(g.Header.Missing)
	twin := make(map[*Namespace]*Namespace, len(g.Namespaces))
	for _, n := range g.Namespaces {
		c := *n
		copyState(&c)
		c.Pins = slices.Clone(n.Pins)
		twin[n] = &c
		out.Namespaces = append(out.Namespaces, &c)
	}
	to := func(n *Namespace) *Namespace {
		if c := twin[n]; c != nil {
			return c
		}
		return n
	}
	for _, n := range out.Namespaces {
		n.Owner, n.Parent = to(n.Owner), to(n.Parent)
		for i := range n.Pins {
			n.Pins[i].Mnt, n.Pins[i].NS = to(n.Pins[i].Mnt), to(n.Pins[i].NS)
		}
	}
	for _, t := range g.Tasks {
		c := *t
		c.NSPID = slices.Clone(t.NSPID)
		for l, n := range c.Namespaces {
			c.Namespaces[l] = to(n)
		}
		out.Tasks = append(out.Tasks, &c)
	}
	return out
}

// copyState gives n its own copy of what it holds.
func copyState(n *Namespace) {
	if n.User != nil {
		u := *n.User
		u.UIDMap, u.GIDMap, u.ProjIDMap = slices.Clone(u.UIDMap), slices.Clone(u.GIDMap), slices.Clone(u.ProjIDMap)
		u.Sysctls = slices.Clone(u.Sysctls)
		n.User = &u
	}
	if n.UTS != nil {
		u := *n.UTS
		n.UTS = &u
	}
	if n.IPC != nil {
		n.IPC = &IPCState{Sysctls: slices.Clone(n.IPC.Sysctls)}
	}
	if n.Net != nil {
		n.Net = &NetState{Loopback: n.Net.Loopback, Sysctls: slices.Clone(n.Net.Sysctls)}
	}
	if n.Time != nil {
		t := *n.Time
		n.Time = &t
	}
	if n.Cgroup != nil {
		c := *n.Cgroup
		n.Cgroup = &c
	}
	if n.PID != nil {
		p := *n.PID
		n.PID = &p
	}
}
