package restore

import (
	"fmt"
	"slices"
	"strings"

	"github.com/renest/renest/topology"
)

// Op is what a step does.
type Op uint8

// The operations. Each is a few system calls of one agent.
const (
	// OpFork: By makes agent New, which is in new namespaces of its own, the
	// Creates, and else where By is; with NS, a cgroup namespace, it is in the
	// cgroup that this is to be rooted at.
	OpFork Op = iota + 1
	// OpUnshare: By moves on into a new namespace. It is for those that clone3
	// would enter at once: a time namespace before its offsets are written, a
	// pid namespace that has to stay without an init.
	OpUnshare
	// OpMap: By, which is in the parent, writes the maps of NS for New, which
	// is in NS.
	OpMap
	// OpIDs: By takes the ids UID and GID of its user namespace, NS.
	OpIDs
	// OpName: By, which is in NS, sets its host and domain name.
	OpName
	// OpClock: By writes the offsets of NS, its time_for_children.
	OpClock
	// OpSet: By, which is in NS, sets what that was set to: sysctls, its
	// loopback device, pid_max and the last pid.
	OpSet
	// OpJoin: By enters NS.
	OpJoin
	// OpExit: By ends. As the init of a pid namespace it leaves a dead one.
	OpExit
	// OpHold: By lets go of everything but its namespaces, and stays.
	OpHold
)

var opNames = [...]string{"", "fork", "unshare", "map", "ids", "name", "clock", "set", "join", "exit", "hold"}

// String returns the operation's name.
func (o Op) String() string {
	if int(o) >= len(opNames) {
		return fmt.Sprintf("op(%d)", uint8(o))
	}
	return opNames[o]
}

// Step is one step of a plan. Agents are numbers; 0 is there at the start, in
// the caller's own namespaces.
type Step struct {
	Op       Op
	By       int
	New      int                   // OpFork: the child; OpMap: who is in NS
	NS       *topology.Namespace   // what the step is about
	Creates  []*topology.Namespace // OpFork, OpUnshare: at most one of a type
	UID, GID uint32                // OpIDs
	// PIDs: OpFork: the pids of New, the innermost first, where it is to have
	// certain ones. The last of them By cannot choose, one for each of Writers:
	// these have it be the next in their pid namespaces.
	PIDs    []int
	Writers []int
	// OpMap: a map has to be written by newuidmap(1) or newgidmap(1), as By has
	// no right to.
	UIDHelper, GIDHelper bool
	Why                  string
}

// Plan is how to make the namespaces of a graph: steps in order, and what keeps
// each namespace afterwards. It is data: making one takes no system call.
type Plan struct {
	// Graph is what is to be made: that of the image, but for what the options
	// wanted otherwise.
	Graph *topology.Graph
	Steps []Step
	// Agents is how many there are, the first included.
	Agents int
	// Holders has the agent that stays in each pid namespace.
	Holders []Holder
	// Innermost is the agent in the deepest namespaces, from which a command is
	// run: the holder with the most pid and user levels above it, or else one in
	// the deepest user namespace.
	Innermost int
	// Keep are the namespaces in which no holder is, in creation order: the
	// tree's keeper holds a descriptor of each.
	Keep []*topology.Namespace
	// Sockets are the net namespaces that were hidden: a socket in each is all that
	// the keeper holds of them.
	Sockets []*topology.Namespace
	// External has the namespaces of the graph that are not made but found:
	// each stands for the caller's own of its type.
	External []*topology.Namespace
	// Bound says of those in whose place another than the caller's own is to
	// be entered which one, as [dump.ParseReference] reads it.
	Bound map[*topology.Namespace]string
	// PIDs says which pids the holders get.
	PIDs PIDMode
	// Pins are the bind mounts to be made of its namespaces.
	Pins []PlannedPin
	// Clock says what becomes of clocks.
	Clock Clock
	// Notes say what the plan cannot bring back exactly.
	Notes []string
}

// Holder is the init of a restored pid namespace.
type Holder struct {
	Agent int
	In    [topology.NumLinks]*topology.Namespace // nil: the caller's own
}

// Made returns the namespaces that the plan makes, in creation order.
func (p *Plan) Made() []*topology.Namespace {
	var made []*topology.Namespace
	for _, n := range p.Graph.Namespaces {
		if !n.External {
			made = append(made, n)
		}
	}
	return made
}

// String describes the step in one line, without its reason.
func (s Step) String() string {
	who := fmt.Sprintf("agent %d", s.By)
	switch s.Op {
	case OpFork:
		if len(s.Creates) == 0 {
			return fmt.Sprintf("%s forks agent %d%s", who, s.New, s.cgroup())
		}
		return fmt.Sprintf("%s forks agent %d%s%s into new %s", who, s.New, pidText(s.PIDs), s.cgroup(), names(s.Creates))
	case OpUnshare:
		return fmt.Sprintf("%s unshares into new %s", who, names(s.Creates))
	case OpMap:
		return fmt.Sprintf("%s writes the maps of %s: %s%s", who, s.NS.Name(), mapText(s.NS.User), s.helpText())
	case OpIDs:
		return fmt.Sprintf("%s becomes uid %d, gid %d of %s", who, s.UID, s.GID, s.NS.Name())
	case OpName:
		return fmt.Sprintf("%s names %s %q", who, s.NS.Name(), s.NS.UTS.NodeName)
	case OpClock:
		return fmt.Sprintf("%s sets the clocks of %s", who, s.NS.Name())
	case OpSet:
		return fmt.Sprintf("%s sets %s: %s", who, s.NS.Name(), settingText(s.NS))
	case OpJoin:
		return fmt.Sprintf("%s enters %s", who, s.NS.Name())
	case OpExit:
		return who + " ends"
	case OpHold:
		return who + " stays"
	}
	return who + " " + s.Op.String()
}

// cgroup says where a fork leads to.
func (s Step) cgroup() string {
	if s.NS == nil {
		return ""
	}
	return fmt.Sprintf(" into cgroup %q", s.NS.Cgroup.Root)
}

func names(list []*topology.Namespace) string {
	var out []string
	for _, n := range list {
		out = append(out, n.Name())
	}
	return strings.Join(out, " ")
}

func mapText(u *topology.UserState) string {
	if u == nil {
		return "none"
	}
	var parts []string
	for _, m := range []struct {
		name string
		ids  []topology.Extent
	}{{"uid", u.UIDMap}, {"gid", u.GIDMap}, {"projid", u.ProjIDMap}} {
		if len(m.ids) > 0 {
			parts = append(parts, m.name+" "+extentsText(m.ids))
		}
	}
	if len(parts) == 0 {
		parts = append(parts, "none")
	}
	if u.Setgroups == "deny" {
		parts = append(parts, "setgroups denied")
	}
	return strings.Join(parts, " ")
}

// extentsText lists the first extents of a map.
func extentsText(m []topology.Extent) string {
	const most = 8
	var out []string
	for i, e := range m {
		if i == most {
			out = append(out, fmt.Sprintf("and %d more", len(m)-most))
			break
		}
		out = append(out, e.String())
	}
	return strings.Join(out, ",")
}

func (s Step) helpText() string {
	switch {
	case s.UIDHelper && s.GIDHelper:
		return " through newuidmap and newgidmap"
	case s.UIDHelper:
		return " through newuidmap"
	case s.GIDHelper:
		return " through newgidmap"
	}
	return ""
}

// pidText says which pids a child is to have, the outermost first as in NSpid of
// /proc/PID/status.
func pidText(pids []int) string {
	if len(pids) == 0 {
		return ""
	}
	s := ", pid"
	for _, pid := range slices.Backward(pids) {
		s += fmt.Sprintf(" %d", pid)
	}
	return s + ","
}
