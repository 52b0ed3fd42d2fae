package topologytest

import (
	"math/rand/v2"
	"slices"

	"github.com/renest/renest/topology"
)

// Renumbered returns the same topology as another host might have it: a deep
// copy with other inode numbers, ids and pids, in another order. Namespaces are
// not in creation order; SortCreation brings that about.
func Renumbered(rng *rand.Rand, g *topology.Graph) *topology.Graph {
	out := Clone(g)
	inos, ids := rng.Perm(len(out.Namespaces)), rng.Perm(len(out.Namespaces))
	for i, n := range out.Namespaces {
		n.Ino = 4027000000 + uint64(inos[i])
		n.ID = 1_000_000 + uint64(ids[i])
		for _, m := range userMaps(n) {
			rng.Shuffle(len(m), func(i, j int) { m[i], m[j] = m[j], m[i] })
		}
	}
	shift := 10000 + rng.IntN(10000)
	for _, t := range out.Tasks {
		t.PID += shift
		if t.TID != 0 {
			t.TID += shift
		}
		if len(t.NSPID) > 0 {
			t.NSPID[0] += shift
		}
	}
	rng.Shuffle(len(out.Namespaces), func(i, j int) {
		out.Namespaces[i], out.Namespaces[j] = out.Namespaces[j], out.Namespaces[i]
	})
	rng.Shuffle(len(out.Tasks), func(i, j int) { out.Tasks[i], out.Tasks[j] = out.Tasks[j], out.Tasks[i] })
	return out
}

// userMaps returns the maps of a user namespace.
func userMaps(n *topology.Namespace) [][]topology.Extent {
	if n.User == nil {
		return nil
	}
	return [][]topology.Extent{n.User.UIDMap, n.User.GIDMap, n.User.ProjIDMap}
}

// Clone returns a deep copy of g. Edges that lead out of g still do.
func Clone(g *topology.Graph) *topology.Graph {
	out := &topology.Graph{Header: g.Header}
	out.Header.Missing = slices.Clone(g.Header.Missing)
	twin := make(map[*topology.Namespace]*topology.Namespace, len(g.Namespaces))
	for _, n := range g.Namespaces {
		c := *n
		copyState(&c)
		c.Pins = slices.Clone(n.Pins)
		twin[n] = &c
		out.Namespaces = append(out.Namespaces, &c)
	}
	to := func(n *topology.Namespace) *topology.Namespace {
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
func copyState(n *topology.Namespace) {
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
		n.IPC = &topology.IPCState{Sysctls: slices.Clone(n.IPC.Sysctls)}
	}
	if n.Net != nil {
		n.Net = &topology.NetState{Loopback: n.Net.Loopback, Sysctls: slices.Clone(n.Net.Sysctls)}
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
