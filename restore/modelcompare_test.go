package restore_test

import (
	"slices"

	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
)

// compare holds what there is at a plan's end against its graph.
func (k *kernel) compare(plan *restore.Plan) {
	for i, p := range k.procs {
		k.rule(p != nil, "agent %d was never made", i)
		k.rule(p == nil || i == 0 || p.ended || p.held, "agent %d neither ends nor holds", i)
	}
	k.rule(len(k.procs) == plan.Agents, "%d agents, the plan says %d", len(k.procs), plan.Agents)
	kept := k.holders(plan)
	for _, n := range plan.Keep {
		if k.rule(k.spaces[n] != nil, "%s is kept, and was not made", n.Name()) {
			k.rule(k.spaces[n].open, "%s is kept, and no descriptor was taken", n.Name())
		}
		k.rule(!kept[n], "%s is kept by a holder, and again by a descriptor", n.Name())
		kept[n] = true
	}
	for _, n := range plan.Graph.Namespaces {
		s := k.spaces[n]
		if n.External || !k.rule(s != nil, "%s was not made", n.Name()) {
			continue
		}
		k.rule(kept[n] == (n.State != topology.Hidden), "%s (%s): kept is %t", n.Name(), n.State, kept[n])
		k.rule(slices.Contains(plan.Sockets, n) == (n.Type == topology.Net && n.State == topology.Hidden), "%s (%s): whether a socket keeps it", n.Name(), n.State)
		k.compareState(n, s)
	}
}

// compareState holds one namespace against the graph's.
func (k *kernel) compareState(n *topology.Namespace, s *space) {
	k.rule(s.set == wantsSetting(n), "%s: that it was set is %v", n.Name(), s.set)
	switch n.Type {
	case topology.User:
		k.rule(s.setgroups == n.User.Setgroups, "%s: setgroups is %q, not %q", n.Name(), s.setgroups, n.User.Setgroups)
		k.rule(s.mapped || len(n.User.UIDMap)+len(n.User.GIDMap) == 0, "%s: no maps were written", n.Name())
	case topology.UTS:
		k.rule(n.UTS == nil || s.uts == n.UTS, "%s: was not named", n.Name())
	case topology.Time:
		k.rule(n.Time == nil || s.clock == n.Time, "%s: its clocks were not set", n.Name())
	case topology.PID:
		state := topology.Active
		switch {
		case s.init == nil:
			state = topology.Unborn
		case s.dead && n.State == topology.Hidden:
			state = topology.Hidden
		case s.dead:
			state = topology.Dead
		}
		k.rule(state == n.State, "%s is %s, not %s", n.Name(), state, n.State)
	}
}

// wantsSetting reports whether the graph has more of n than a fresh one has.
func wantsSetting(n *topology.Namespace) bool {
	switch {
	case n.IPC != nil:
		return len(n.IPC.Sysctls) > 0
	case n.Net != nil:
		return n.Net.Loopback || len(n.Net.Sysctls) > 0
	case n.User != nil:
		return len(n.User.Sysctls) > 0
	case n.PID != nil && n.State == topology.Active:
		return n.PID.LastPID > 0 || n.PID.PIDMax > 0 && n.PID.PIDMax < topology.NoPIDMax
	}
	return false
}

// holders checks that the plan knows where its holders are, and returns what
// they keep.
func (k *kernel) holders(plan *restore.Plan) map[*topology.Namespace]bool {
	kept := map[*topology.Namespace]bool{}
	inits := map[*topology.Namespace]int{}
	for _, h := range plan.Holders {
		p := k.procs[h.Agent]
		if !k.rule(p != nil && p.held && !p.ended, "holder %d does not hold", h.Agent) {
			continue
		}
		for l, n := range p.in[:topology.PIDForChildren] {
			in := h.In[l]
			k.rule(in == n || in != nil && in.External && n.External && plan.Bound[in]+plan.Bound[n] == "", "holder %d: its %s is %s, the plan says %v", h.Agent, topology.Link(l), n.Name(), in)
			kept[n] = true
		}
		kept[p.in[topology.PIDForChildren]] = true
		if k.spaces[p.pid()].init == p {
			inits[p.pid()]++
		}
	}
	for _, n := range plan.Graph.Namespaces {
		if n.Type == topology.PID && !n.External && n.State == topology.Active {
			k.rule(inits[n] == 1, "%s has %d holders", n.Name(), inits[n])
		}
	}
	return kept
}
