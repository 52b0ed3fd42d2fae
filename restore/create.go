package restore

import (
	"fmt"

	"github.com/renest/renest/topology"
)

// create plans n, and before it what it needs. The recursion is as deep as
// user and pid namespaces nest.
func (p *planner) create(n *topology.Namespace) {
	if p.made[n] {
		return
	}
	p.create(n.Owner)
	switch n.Type {
	case topology.User:
		p.createUser(n)
	case topology.PID:
		p.create(n.Parent)
		if !p.made[n] { // its owner may have come with it
			p.createPID(n)
		}
	default:
		p.createLoose([]*topology.Namespace{n})
	}
}

// createUser plans a user namespace, together with a pid namespace that it owns
// where one clone3 can make both: that is what a container is.
func (p *planner) createUser(n *topology.Namespace) {
	pid := p.partner(n)
	var by *actor
	if pid != nil {
		p.create(pid.Parent)
		by = p.spawner(n.Parent, n, pid)
	} else {
		by = p.users[n.Parent]
	}
	by = p.creator(by, n, n.User.OwnerUID)
	var a *actor
	if pid != nil {
		a = p.fork(by, "the first process of "+pid.Name(), append([]*topology.Namespace{n, pid}, p.companions(n, pid)...)...)
	} else {
		a = p.fork(by, fmt.Sprintf("%s is created from within its parent", n.Name()), n)
	}
	if len(n.User.UIDMap)+len(n.User.GIDMap) > 0 || n.User.Setgroups == "deny" {
		p.step(Step{Op: OpMap, By: p.users[n.Parent].number, New: a.number, NS: n, Why: "maps are written from the parent user namespace"})
	}
	p.takeIDs(a)
	p.nameUTS(a)
	p.stay(a)
}

// creator returns an agent where by is that has the euid uid, which the new
// namespace n will be owned by.
func (p *planner) creator(by *actor, n *topology.Namespace, uid uint32) *actor {
	if by.user.External && !p.o.Privileged {
		return by // it has no other euid; Preflight compares them
	}
	have, gid := uint32(0), uint32(0)
	if !by.user.External {
		have, _ = anID(by.user.User.UIDMap)
		gid, _ = anID(by.user.User.GIDMap)
	}
	if have == uid {
		return by
	}
	a := p.fork(by, fmt.Sprintf("%s belongs to uid %d of its parent", n.Name(), uid))
	p.temp = append(p.temp, a)
	p.ids(a, uid, gid, fmt.Sprintf("the creator's euid becomes the owner of %s", n.Name()))
	return a
}

// partner returns a pid namespace that can be made by the same clone3 as the
// user namespace that owns it.
func (p *planner) partner(user *topology.Namespace) *topology.Namespace {
	for _, n := range p.pids[user] {
		if n.State != topology.Unborn && (n.Parent.External || within(user.Parent, n.Parent.Owner)) {
			return n
		}
	}
	return nil
}

// createPID plans a pid namespace that has to be created by itself.
func (p *planner) createPID(n *topology.Namespace) {
	by := p.spawner(n.Owner, n.Owner, n)
	if n.State == topology.Unborn {
		p.createUnborn(by, n)
		return
	}
	a := p.fork(by, "the first process of "+n.Name(), append([]*topology.Namespace{n}, p.companions(n.Owner, n)...)...)
	p.nameUTS(a)
	p.stay(a)
}

// createUnborn leaves an agent behind whose children would be the first of n:
// before Linux 7.1 nothing else can refer to n.
func (p *planner) createUnborn(by *actor, n *topology.Namespace) {
	a := p.fork(by, n.Name()+" is kept by a process whose children are to be born in it")
	p.step(Step{Op: OpUnshare, By: a.number, Creates: []*topology.Namespace{n}, Why: "no process may be born in it yet"})
	p.made[n] = true
	p.unborn = append(p.unborn, a)
}

// spawner returns an agent in the user namespace user and in the parent of pid,
// from which the first process of pid inherits the namespaces that it cannot
// join later, being born in the user namespace birth.
func (p *planner) spawner(user, birth, pid *topology.Namespace) *actor {
	by := p.agentAt(user, pid.Parent)
	early := p.early(by, birth, pid)
	if len(early) == 0 {
		return by
	}
	base := by
	for _, n := range early {
		p.create(n)
		if !within(n.Owner, by.user) {
			base = p.first
		}
	}
	if base == p.first && !p.o.Privileged {
		p.note("%s: its first process shared %s with processes outside, which only a privileged restore can bring back", pid.Name(), names(early))
		return by
	}
	return p.descend(base, early, user, pid)
}

// early lists the namespaces of pid's first process that it can only inherit:
// by is not in them, and they are not owned by birth or below.
func (p *planner) early(by *actor, birth, pid *topology.Namespace) []*topology.Namespace {
	t := p.tasks[pid]
	if t == nil {
		return nil
	}
	var list []*topology.Namespace
	for _, typ := range topology.Types {
		l := topology.LinkOf(typ)
		n := t.Namespaces[l]
		if typ.HasParent() || n == nil || n == by.in[l] || n.Owner == nil && !n.External {
			continue
		}
		if n.External && n != p.host[typ] || !n.External && within(n.Owner, birth) {
			continue
		}
		if !n.External && !p.made[n.Owner] {
			p.note("%s: its first process was in %s, whose owner comes into being later", pid.Name(), n.Name())
			continue
		}
		list = append(list, n)
	}
	return list
}

// descend leads a new agent from base through the namespaces of early, which
// their owners let it join, into the parent of pid and down to user.
func (p *planner) descend(base *actor, early []*topology.Namespace, user, pid *topology.Namespace) *actor {
	why := "what ancestors own is joined before " + user.Name()
	a := p.fork(base, fmt.Sprintf("leads to the first process of %s", pid.Name()))
	p.temp = append(p.temp, a)
	for _, n := range early {
		p.join(a, n, why)
	}
	if a.pid != pid.Parent {
		p.join(a, pid.Parent, "children will be born in it")
		a.pid = pid.Parent
		a = p.fork(a, "is in "+pid.Parent.Name())
		p.temp = append(p.temp, a)
	}
	if a.user != user {
		p.join(a, user, user.Name()+" is where "+pid.Name()+" is created from")
	}
	return a
}

// agentAt returns an agent in the given user and pid namespaces.
func (p *planner) agentAt(user, pid *topology.Namespace) *actor {
	if a := p.at[[2]*topology.Namespace{user, pid}]; a != nil {
		return a
	}
	base := p.first
	if init := p.inits[pid]; init != nil {
		base = init
	}
	a := p.fork(base, fmt.Sprintf("acts in %s and %s", user.Name(), pid.Name()))
	p.join(a, user, "only a process in it creates what it owns")
	p.stay(a)
	return a
}

// companions returns the namespaces that the first process of pid is born with:
// of those it was in, the ones that user owns and nobody made yet.
func (p *planner) companions(user, pid *topology.Namespace) []*topology.Namespace {
	t := p.tasks[pid]
	if t == nil {
		return nil
	}
	var list []*topology.Namespace
	for _, typ := range []topology.Type{topology.Mnt, topology.UTS, topology.IPC, topology.Net} {
		n := t.Namespaces[topology.LinkOf(typ)]
		if n != nil && !p.made[n] && n.Owner == user {
			list = append(list, n)
		}
	}
	return list
}

// nameUTS has a, if it was born in a new UTS namespace, name it.
func (p *planner) nameUTS(a *actor) {
	n := a.in[topology.InUTS]
	if n != nil && !n.External && n.UTS != nil && !p.named(n) {
		p.step(Step{Op: OpName, By: a.number, NS: n, Why: "names are copied from the creator"})
	}
}

// named reports whether a step names n already.
func (p *planner) named(n *topology.Namespace) bool {
	if p.namedUTS[n] {
		return true
	}
	p.namedUTS[n] = true
	return false
}

func (p *planner) note(format string, args ...any) {
	p.plan.Notes = append(p.plan.Notes, fmt.Sprintf(format, args...))
}
