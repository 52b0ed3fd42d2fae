package restore

import (
	"fmt"
	"slices"
	"strings"

	"github.com/renest/renest/topology"
)

// settings plans what namespaces are set to, once all of them are there: limits
// hold for whoever made them too, and a process that is born moves the last pid.
//
// What ipc and net namespaces are set to, an agent of their owner sets, which goes
// from one to the next: settings are looked up in the namespaces of whoever looks,
// those of a net namespace obey CAP_NET_ADMIN in its owner, and those of an ipc
// namespace its owner's root (ipc_permissions, ipc/ipc_sysctl.c).
func (p *planner) settings() {
	movers := map[*actor]*actor{}
	for _, n := range p.plan.Graph.Namespaces {
		if n.External || n.Type.HasParent() || !isSet(n) {
			continue
		}
		by := p.users[n.Owner]
		a := movers[by]
		if a == nil {
			a = p.fork(by, "goes to where something is to be set")
			p.temp = append(p.temp, a)
			movers[by] = a
		}
		p.join(a, n, "settings are those of whoever looks them up")
		p.step(Step{Op: OpSet, By: a.number, NS: n, Why: "it was not as a fresh one is"})
	}
	for _, n := range p.plan.Graph.Namespaces {
		switch {
		case n.External || !isSet(n):
		case n.Type == topology.User:
			p.step(Step{Op: OpSet, By: p.users[n].number, NS: n, Why: "limits hold once everything is made"})
		case n.Type == topology.PID && lives(n) && p.inits[n] != nil:
			p.step(Step{Op: OpSet, By: p.inits[n].number, NS: n, Why: "only a process in it can, once the last is born"})
		}
	}
}

// isSet reports whether n is set to something.
func isSet(n *topology.Namespace) bool {
	switch {
	case n.User != nil:
		return len(n.User.Sysctls) > 0
	case n.IPC != nil:
		return len(n.IPC.Sysctls) > 0
	case n.Net != nil:
		return len(n.Net.Sysctls) > 0 || n.Net.Loopback
	case n.PID != nil:
		return n.PID.LastPID > 0 || ownPIDMax(n) != 0
	}
	return false
}

// ownPIDMax is the limit that a pid namespace sets itself, 0 where it has none.
func ownPIDMax(n *topology.Namespace) int {
	if n.PID == nil || n.PID.PIDMax >= topology.NoPIDMax {
		return 0
	}
	return n.PID.PIDMax
}

// sysctlsOf returns the sysctls of n in the order in which they are to be written:
// those first that change others.
func sysctlsOf(n *topology.Namespace) topology.Sysctls {
	var s topology.Sysctls
	switch {
	case n.User != nil:
		s = n.User.Sysctls
	case n.IPC != nil:
		s = n.IPC.Sysctls
	case n.Net != nil:
		s = n.Net.Sysctls
	}
	s = slices.Clone(s)
	slices.SortStableFunc(s, func(a, b topology.Sysctl) int { return rank(a) - rank(b) })
	return s
}

// rank is 0 for what changes others, and 1 for what does not.
func rank(s topology.Sysctl) int {
	if len(topology.SysctlFollowers(s.Name)) > 0 {
		return 0
	}
	return 1
}

// settingText says what n is set to.
func settingText(n *topology.Namespace) string {
	var out []string
	for _, s := range sysctlsOf(n) {
		out = append(out, s.Name+"="+s.Value)
	}
	if n.Net != nil && n.Net.Loopback {
		out = append(out, "lo up")
	}
	if n.PID != nil {
		if limit := ownPIDMax(n); limit != 0 {
			out = append(out, fmt.Sprintf("pid_max=%d", limit))
		}
		if n.PID.LastPID > 0 {
			out = append(out, fmt.Sprintf("last pid %d", n.PID.LastPID))
		}
	}
	return strings.Join(out, ", ")
}
