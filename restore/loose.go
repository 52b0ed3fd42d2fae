package restore

import (
	"github.com/renest/renest/topology"
)

// rest returns the namespaces without a hierarchy that were not made together
// with a pid namespace.
func (p *planner) rest() []*topology.Namespace {
	var list []*topology.Namespace
	for _, n := range p.plan.Graph.Namespaces {
		if !p.made[n] {
			list = append(list, n)
		}
	}
	return list
}

// createLoose plans namespaces that any process in their owner may create. For
// each owner a few agents are forked, each into one namespace of every type;
// they end as soon as a descriptor of theirs was taken.
func (p *planner) createLoose(list []*topology.Namespace) {
	type kind struct {
		owner *topology.Namespace
		typ   topology.Type
	}
	type place struct {
		owner *topology.Namespace
		batch int
	}
	var batches [][]*topology.Namespace
	at, had := map[place]int{}, map[kind]int{}
	for _, n := range list {
		where := place{n.Owner, had[kind{n.Owner, n.Type}]}
		had[kind{n.Owner, n.Type}]++
		i, ok := at[where]
		if !ok {
			i = len(batches)
			at[where], batches = i, append(batches, nil)
		}
		batches[i] = append(batches[i], n)
	}
	for _, batch := range batches {
		p.createBatch(p.users[batch[0].Owner], batch)
	}
}

// createBatch plans namespaces of different types with one owner.
func (p *planner) createBatch(by *actor, batch []*topology.Namespace) {
	var born, unshared []*topology.Namespace
	for _, n := range batch {
		p.made[n] = true
		switch {
		case n.Type == topology.Time:
			unshared = append(unshared, n)
		case n.Type == topology.Cgroup && n.Cgroup != nil && n.Cgroup.Root != "":
			p.createRooted(n)
		default:
			born = append(born, n)
		}
	}
	if len(born)+len(unshared) == 0 {
		return
	}
	a := p.fork(by, "creates what "+batch[0].Owner.Name()+" owns", born...)
	p.nameUTS(a)
	for _, n := range unshared {
		p.step(Step{Op: OpUnshare, By: a.number, Creates: []*topology.Namespace{n}, Why: "clone3 would enter it too soon"})
		if n.Time != nil {
			p.step(Step{Op: OpClock, By: a.number, NS: n, Why: "offsets can be written until the first process enters"})
		}
	}
	p.step(Step{Op: OpExit, By: a.number, Why: "descriptors keep what it made"})
}

// createRooted plans a cgroup namespace that is rooted somewhere in particular. Its
// creator is born there, to the first agent, which has the caller's rights to the
// cgroup.
func (p *planner) createRooted(n *topology.Namespace) {
	var creates []*topology.Namespace
	if n.Owner.External {
		creates = append(creates, n)
	}
	a := p.fork(p.first, n.Name()+" is rooted where its creator is", creates...)
	p.plan.Steps[len(p.plan.Steps)-1].NS = n
	if !n.Owner.External {
		p.join(a, n.Owner, "only a process in it creates what it owns")
		p.step(Step{Op: OpUnshare, By: a.number, Creates: []*topology.Namespace{n}, Why: n.Owner.Name() + " owns it"})
	}
	p.step(Step{Op: OpExit, By: a.number, Why: "descriptors keep what it made"})
}

// finish plans the end: helpers leave, dead pid namespaces die, holders go to
// where the first process of each pid namespace was.
func (p *planner) finish() {
	p.settings()
	p.plan.Innermost = p.innermost().number
	holders := map[*actor]bool{}
	for _, a := range p.inits {
		holders[a] = true
	}
	for _, a := range p.temp {
		p.step(Step{Op: OpExit, By: a.number, Why: "its work is done"})
	}
	for _, a := range p.stayed() {
		if a != p.first && !holders[a] {
			p.step(Step{Op: OpExit, By: a.number, Why: "its work is done"})
		}
	}
	nss := p.plan.Graph.Namespaces
	for i := len(nss) - 1; i >= 0; i-- { // a parent's death is its children's
		if n := nss[i]; p.inits[n] != nil && !lives(n) {
			p.step(Step{Op: OpExit, By: p.inits[n].number, NS: n, Why: n.Name() + " was dead"})
		}
	}
	for _, n := range nss {
		if a := p.inits[n]; a != nil && lives(n) {
			p.settle(a, n)
			p.hold(a, "a pid namespace lives as long as its first process")
		}
	}
	for _, a := range p.unborn {
		p.hold(a, "its children are yet to be born")
	}
	kept := map[*topology.Namespace]bool{}
	for _, h := range p.plan.Holders {
		for _, in := range h.In {
			kept[in] = true
		}
	}
	for _, n := range nss {
		switch {
		case n.External || kept[n] || n.State == topology.Unborn:
		case n.State != topology.Hidden:
			p.plan.Keep = append(p.plan.Keep, n)
		case n.Type == topology.Net:
			p.plan.Sockets = append(p.plan.Sockets, n)
		}
	}
}

// innermost returns the agent in the deepest namespaces.
func (p *planner) innermost() *actor {
	best := p.first
	deeper := func(a *actor) bool {
		if d := a.pid.Level() - best.pid.Level(); d != 0 {
			return d > 0
		}
		return a.user.Level() > best.user.Level()
	}
	for _, n := range p.plan.Graph.Namespaces {
		if a := p.inits[n]; a != nil && lives(n) && deeper(a) {
			best = a
		}
	}
	if best != p.first {
		return best
	}
	for _, a := range p.stayed() {
		if deeper(a) && (p.inits[a.pid] == nil || lives(a.pid)) {
			best = a
		}
	}
	return best
}

// hold plans that a stays.
func (p *planner) hold(a *actor, why string) {
	p.step(Step{Op: OpHold, By: a.number, NS: a.pid, Why: why})
	p.plan.Holders = append(p.plan.Holders, Holder{Agent: a.number, In: a.in})
}

// lives reports whether the pid namespace n has an init.
func lives(n *topology.Namespace) bool {
	return n.State != topology.Dead && n.State != topology.Hidden
}

// stayed returns the agents that stayed somewhere, by number.
func (p *planner) stayed() []*actor {
	list := make([]*actor, p.plan.Agents)
	for _, a := range p.at {
		list[a.number] = a
	}
	out := list[:0]
	for _, a := range list {
		if a != nil {
			out = append(out, a)
		}
	}
	return out
}

// settle moves a, the first process of pid, to where that was in the graph, as
// far as its user namespace lets it: all but the user namespace first.
func (p *planner) settle(a *actor, pid *topology.Namespace) {
	t := p.tasks[pid]
	if t == nil {
		return
	}
	for _, typ := range topology.Types {
		n := t.Namespaces[topology.LinkOf(typ)]
		if typ.HasParent() || n == nil || n == a.in[topology.LinkOf(typ)] {
			continue
		}
		if n.External || !within(n.Owner, a.user) {
			p.note("%s: its first process was in %s, which a process in %s cannot enter", pid.Name(), n.Name(), a.user.Name())
			continue
		}
		p.join(a, n, "the first process of "+pid.Name()+" was in it")
	}
	if u := t.Namespaces[topology.InUser]; u != nil && u != a.user {
		if !topology.IsAncestor(a.user, u) {
			p.note("%s: its first process was in %s, which a process in %s cannot enter", pid.Name(), u.Name(), a.user.Name())
			return
		}
		p.join(a, u, "the first process of "+pid.Name()+" was in it")
	}
}
