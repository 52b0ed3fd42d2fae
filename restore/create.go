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
		p.underway[n] = true
		pid := p.partner(n)
		if pid != nil {
			p.create(pid.Parent)
		}
		p.createUser(n, pid)
	case topology.PID:
		p.create(n.Parent)
		if !p.made[n] { // its owner may have come with it
			p.createPID(n)
		}
	default:
		p.createLoose([]*topology.Namespace{n})
	}
}

// createUser plans a user namespace, together with pid, a pid namespace that it
// owns, where one clone3 can make both: that is what a container is.
func (p *planner) createUser(n, pid *topology.Namespace) {
	var by *actor
	if pid != nil {
		by = p.spawner(n.Parent, n, pid)
	} else {
		by = p.users[n.Parent]
	}
	by = p.creator(by, n, n.User.OwnerUID)
	var a *actor
	if pid != nil {
		a = p.fork(by, "the first process of "+pid.Name(), append([]*topology.Namespace{n, pid}, p.companions(n, pid)...)...)
	} else {
		a = p.fork(by, fmt.Sprintf("%s is created from within its parent", n.Name()), append([]*topology.Namespace{n}, p.household(n)...)...)
	}
	if len(n.User.UIDMap)+len(n.User.GIDMap)+len(n.User.ProjIDMap) > 0 || n.User.Setgroups == "deny" {
		p.maps(p.users[n.Parent], a, n)
	}
	p.takeIDs(a)
	p.nameUTS(a)
	p.stay(a)
}

// maps has by, in the parent of n, write the maps of n, which a is in.
func (p *planner) maps(by, a *actor, n *topology.Namespace) {
	s := Step{Op: OpMap, By: by.number, New: a.number, NS: n, Why: "maps are written from the parent user namespace"}
	if n.Parent.External && !p.o.Privileged {
		s.UIDHelper, s.GIDHelper = helped(n.User.UIDMap, p.o.UID), helped(n.User.GIDMap, p.o.GID)
	}
	p.step(s)
}

// createBare plans a user namespace, and those above, before their turn and
// without a pid namespace. It reports false where that is under way already.
func (p *planner) createBare(n *topology.Namespace) bool {
	if p.made[n] {
		return true
	}
	if p.underway[n] || !p.createBare(n.Parent) {
		return false
	}
	p.createUser(n, nil)
	return true
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
// user namespace that owns it. An ordinary user's outermost one has none: an
// agent in it that is in the caller's own namespaces otherwise is what others
// can come from, see outermost.
func (p *planner) partner(user *topology.Namespace) *topology.Namespace {
	if user.Parent.External && !p.o.Privileged {
		return nil
	}
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
		if p.bound(n) || !within(n.Owner, by.user) {
			base = p.outermost(user)
		}
	}
	if base != by { // it is not in all that by is in
		early = p.early(base, birth, pid)
	}
	for _, n := range early {
		p.create(n)
	}
	return p.descend(base, early, user, pid)
}

// outermost returns an agent that is in the caller's own namespaces and has the
// capabilities to enter what is to be made: for an ordinary user that is one in
// the outermost user namespace above user.
func (p *planner) outermost(user *topology.Namespace) *actor {
	if p.o.Privileged || user.External {
		return p.first
	}
	for !user.Parent.External {
		user = user.Parent
	}
	return p.agentAt(user, p.first.pid)
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
		if n.External && !p.enterable(n) || !n.External && within(n.Owner, birth) {
			continue
		}
		if !n.External && !p.createBare(n.Owner) {
			continue // settle has a note of it
		}
		list = append(list, n)
	}
	return list
}

// enterable reports whether an external namespace is one that a process may go
// to: the caller's own, or what stands for it.
func (p *planner) enterable(n *topology.Namespace) bool {
	return p.bound(n) || n == p.host[n.Type]
}

// bound reports whether another than the caller's own stands for n.
func (p *planner) bound(n *topology.Namespace) bool {
	_, ok := p.plan.Bound[n]
	return ok
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

// household returns the namespaces that the first process of a user namespace is born
// with, where no other process will come from it: one of each type that user owns and
// nobody made yet.
func (p *planner) household(user *topology.Namespace) []*topology.Namespace {
	var list []*topology.Namespace
	var taken [topology.Time + 1]bool
	for _, n := range p.owned[user] {
		switch {
		case n.Type.HasParent():
			return nil
		case taken[n.Type], p.made[n], n.Type == topology.Time, n.Type == topology.Cgroup:
		default:
			taken[n.Type] = true
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
