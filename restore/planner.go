package restore

import (
	"errors"
	"fmt"

	"github.com/renest/renest/topology"
)

// PlanOptions say for whom to plan.
type PlanOptions struct {
	// Privileged: the caller has CAP_SYS_ADMIN and CAP_SETUID in its own user
	// namespace, so that the first agent can enter and make all types.
	Privileged bool
	// UID and GID are the caller's effective ids.
	UID, GID uint32
	// External says, by the names of namespaces of the graph, what stands for
	// them on this host, as [dump.ParseReference] reads it: those that were
	// external already, and others that are not to be made. User and pid
	// namespaces cannot be among them.
	External map[string]string
	// IDs is where the ids lie that the outermost user namespaces map, nil for
	// those of the image. See [IDRange].
	IDs *IDRange
	// PIDs says which pids the holders get.
	PIDs PIDMode
	// Pins says which namespaces are bind-mounted.
	Pins PinOptions
	// Clock says what becomes of the clocks of time namespaces.
	Clock Clock
}

// NewPlan works out how to make the namespaces of g, which has to be valid
// ([topology.Graph.Validate]) and in creation order. The error has every reason
// why g cannot be made at all; whether this host can is [Preflight]'s question.
//
// The rules it follows are the kernel's. A user namespace is created from
// within its parent, by a process whose euid becomes the owner; its maps are
// written from the parent. Every other namespace is created by a process in its
// owner, a pid namespace moreover by one whose own pid namespace is the parent.
// setns(2) wants CAP_SYS_ADMIN in the target's owner, so what an ancestor owns
// is joined before a user namespace is entered.
func NewPlan(g *topology.Graph, o PlanOptions) (*Plan, error) {
	g, bound, err := adapt(g, o)
	if err != nil {
		return nil, err
	}
	p := newPlanner(g, bound, o)
	if err := p.refuse(); err != nil {
		return nil, err
	}
	for _, n := range g.Namespaces {
		if n.Type.HasParent() {
			p.create(n)
		}
	}
	p.createLoose(p.rest())
	p.finish()
	if err := joinBounded(p.faults); err != nil {
		return nil, err
	}
	if err := p.planPins(); err != nil {
		return nil, err
	}
	return p.plan, nil
}

// actor is what the planner knows of one agent.
type actor struct {
	number int
	user   *topology.Namespace
	pid    *topology.Namespace
	in     [topology.NumLinks]*topology.Namespace
	mapped bool // its ids are those of its user namespace
}

// planner is a plan in the making.
type planner struct {
	o     PlanOptions
	plan  *Plan
	host  [topology.Time + 1]*topology.Namespace // the caller's own, by type
	made  map[*topology.Namespace]bool
	first *actor
	// underway has the user namespaces that create has begun with.
	underway map[*topology.Namespace]bool
	// at has, by user and pid namespace, an agent that stays there until the
	// end; users, one of each user namespace wherever it is.
	at    map[[2]*topology.Namespace]*actor
	users map[*topology.Namespace]*actor
	inits map[*topology.Namespace]*actor // of pid namespaces, while they are agents
	// From the graph: the first task of each pid namespace, the pid namespaces that
	// each user namespace owns, and all that it owns.
	tasks map[*topology.Namespace]*topology.Task
	pids  map[*topology.Namespace][]*topology.Namespace
	owned map[*topology.Namespace][]*topology.Namespace
	temp  []*actor
	// unborn has the agents that keep an unborn pid namespace.
	unborn []*actor
	// takenPIDs are the pids that holders get, by pid namespace; faults why some
	// cannot.
	takenPIDs map[*topology.Namespace]map[int]*topology.Namespace
	faults    []error
	// namedUTS has the UTS namespaces that a step names.
	namedUTS map[*topology.Namespace]bool
}

func newPlanner(g *topology.Graph, bound map[*topology.Namespace]string, o PlanOptions) *planner {
	p := &planner{
		o:        o,
		plan:     &Plan{Graph: g, Clock: o.Clock, PIDs: o.PIDs, Agents: 1, Bound: bound},
		made:     map[*topology.Namespace]bool{},
		underway: map[*topology.Namespace]bool{},
		at:       map[[2]*topology.Namespace]*actor{},
		users:    map[*topology.Namespace]*actor{},
		inits:    map[*topology.Namespace]*actor{},
		tasks:    map[*topology.Namespace]*topology.Task{},
		pids:     map[*topology.Namespace][]*topology.Namespace{},
		owned:    map[*topology.Namespace][]*topology.Namespace{},
		namedUTS: map[*topology.Namespace]bool{},

		takenPIDs: map[*topology.Namespace]map[int]*topology.Namespace{},
	}
	for _, n := range g.Namespaces {
		if !n.External && n.Owner != nil {
			p.owned[n.Owner] = append(p.owned[n.Owner], n)
		}
		if n.External {
			p.plan.External = append(p.plan.External, n)
			p.made[n] = true
			if _, ok := bound[n]; !ok {
				p.host[n.Type] = n // the innermost: it comes last
			}
		} else if n.Type == topology.PID && n.Owner != nil {
			p.pids[n.Owner] = append(p.pids[n.Owner], n)
		}
	}
	p.first = &actor{mapped: true}
	for _, t := range topology.Types {
		if p.host[t] == nil {
			p.host[t] = &topology.Namespace{Type: t, External: true}
		}
		p.first.in[topology.LinkOf(t)] = p.host[t]
	}
	p.first.user, p.first.pid = p.host[topology.User], p.host[topology.PID]
	p.stay(p.first)
	for _, t := range g.Tasks {
		pid := t.Namespaces[topology.InPID]
		if pid != nil && t.TID == t.PID && len(t.NSPID) > 0 && t.NSPID[len(t.NSPID)-1] == 1 {
			p.tasks[pid] = t
		}
	}
	return p
}

// refuse collects what no plan can be made for.
func (p *planner) refuse() error {
	var errs []error
	for _, n := range p.plan.Graph.Namespaces {
		switch {
		case n.External:
			continue
		case n.Owner == nil:
			errs = append(errs, fmt.Errorf("%s: its owner was out of sight when it was dumped: dump again with the privileges to see it", n.Name()))
		case n.Type.HasParent() && n.Parent == nil:
			errs = append(errs, fmt.Errorf("%s: its parent was out of sight when it was dumped: dump again with the privileges to see it", n.Name()))
		case n.Type == topology.PID && n.Parent.State == topology.Unborn:
			errs = append(errs, fmt.Errorf("%s: its parent, %s, is said to be unborn, and in such a one nobody can have made it", n.Name(), n.Parent.Name()))
		case n.Type == topology.PID && !lives(n.Parent) && lives(n):
			errs = append(errs, fmt.Errorf("%s: its parent, %s, has ended, and so has all that was below that: dump again", n.Name(), n.Parent.Name()))
		case n.Type == topology.User && n.User == nil:
			errs = append(errs, fmt.Errorf("%s: its id maps could not be read when it was dumped", n.Name()))
		case n.Type == topology.User && tooLong(n.User):
			errs = append(errs, fmt.Errorf("%s: one of its id maps has more text than the kernel takes at once, 4095 bytes", n.Name()))
		}
		for _, up := range []*topology.Namespace{n.Owner, n.Parent} {
			if up != nil && up.External && up != p.host[up.Type] {
				errs = append(errs, fmt.Errorf("%s: %s is one of several external namespaces of its type, and only one can stand for the caller's own", n.Name(), up.Name()))
			}
		}
	}
	return errors.Join(errs...)
}

// tooLong reports whether a map cannot be written in one go (map_write,
// kernel/user_namespace.c, wants less than a page).
func tooLong(u *topology.UserState) bool {
	for _, m := range [][]topology.Extent{u.UIDMap, u.GIDMap, u.ProjIDMap} {
		if len(topology.FormatIDMap(m)) >= 4096 {
			return true
		}
	}
	return false
}

// stay records that a is where it is until the end.
func (p *planner) stay(a *actor) {
	p.at[[2]*topology.Namespace{a.user, a.pid}] = a
	if p.users[a.user] == nil {
		p.users[a.user] = a
	}
}

func (p *planner) step(s Step) { p.plan.Steps = append(p.plan.Steps, s) }

// fork has by make an agent in the given new namespaces.
func (p *planner) fork(by *actor, why string, creates ...*topology.Namespace) *actor {
	a := *by
	a.number = p.plan.Agents
	p.plan.Agents++
	for _, n := range creates {
		p.made[n] = true
		a.in[topology.LinkOf(n.Type)] = n
		switch n.Type {
		case topology.User:
			a.user, a.mapped = n, false
		case topology.PID:
			a.pid = n
			p.inits[n] = &a
		}
	}
	s := Step{Op: OpFork, By: by.number, New: a.number, Creates: creates, Why: why}
	if n := s.born(); n != nil {
		p.number(&s, by, n)
	}
	p.step(s)
	return &a
}

// join has a enter n.
func (p *planner) join(a *actor, n *topology.Namespace, why string) {
	if a.in[topology.LinkOf(n.Type)] == n {
		return
	}
	p.step(Step{Op: OpJoin, By: a.number, NS: n, Why: why})
	a.in[topology.LinkOf(n.Type)] = n
	if n.Type == topology.User {
		a.user, a.mapped = n, false
		p.takeIDs(a)
	}
}

// takeIDs has a become the root of its user namespace, or whoever comes first
// there: unmapped ids create nothing.
func (p *planner) takeIDs(a *actor) {
	if a.mapped || a.user.External || a.user.User == nil {
		return
	}
	uid, ok := anID(a.user.User.UIDMap)
	gid, ok2 := anID(a.user.User.GIDMap)
	if !ok || !ok2 {
		return
	}
	p.ids(a, uid, gid, fmt.Sprintf("%s has no other ids to act with", a.user.Name()))
	a.mapped = true
}

func (p *planner) ids(a *actor, uid, gid uint32, why string) {
	p.step(Step{Op: OpIDs, By: a.number, NS: a.user, UID: uid, GID: gid, Why: why})
}

// anID returns 0 where it is mapped, and else some id that is.
func anID(m []topology.Extent) (id uint32, ok bool) {
	for i, e := range m {
		if i == 0 || e.Inside == 0 {
			id, ok = e.Inside, true
		}
	}
	return id, ok
}

// within reports whether a process with all capabilities in the user namespace
// u has them in owner too: it is u or below.
func within(owner, u *topology.Namespace) bool {
	return owner == u || topology.IsAncestor(u, owner)
}
