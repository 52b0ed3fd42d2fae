package restore_test

import (
	"slices"

	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
)

// create makes namespaces for child, which may be p itself: p is who calls. It
// is copy_creds and create_new_namespaces (kernel/nsproxy.c).
func (k *kernel) create(p, child *process, creates []*topology.Namespace, unshare bool) {
	active, next := p.pid(), p.in[topology.PIDForChildren]
	creates = slices.Clone(creates)
	slices.SortFunc(creates, func(a, b *topology.Namespace) int { return int(a.Type) - int(b.Type) }) // user first
	var types [topology.Time + 1]bool
	for _, n := range creates {
		k.rule(!types[n.Type], "two namespaces of type %s at once", n.Type)
		types[n.Type] = true
		k.rule(k.spaces[n] == nil, "%s exists", n.Name())
		k.rule(!n.External, "%s is the caller's own", n.Name())
		s := &space{opener: child, link: topology.LinkOf(n.Type)}
		k.spaces[n] = s
		k.rule(n.Owner == child.user() || n.Type == topology.User, "%s will belong to %s, not to %s", n.Name(), child.user().Name(), n.Owner.Name())
		k.rule(n.Type == topology.User || k.capable(child, child.user()), "%s: no CAP_SYS_ADMIN in %s", n.Name(), child.user().Name())
		switch n.Type {
		case topology.User:
			k.createUser(p, n, s)
			child.caps = true
		case topology.PID:
			k.createPID(active, next, n)
			child.in[topology.PIDForChildren] = n
			if unshare {
				s.opener = nil // cannot be opened before Linux 7.1
				continue
			}
		case topology.UTS:
			s.uts = k.spaces[child.in[topology.InUTS]].uts
		case topology.Time:
			child.in[topology.TimeForChildren] = n
			if unshare {
				s.link = topology.TimeForChildren
				continue
			}
		}
		child.in[topology.LinkOf(n.Type)] = n
	}
}

// createUser is create_user_ns (kernel/user_namespace.c).
func (k *kernel) createUser(p *process, n *topology.Namespace, s *space) {
	k.rule(n.Parent == p.user(), "%s will be below %s, not %s", n.Name(), p.user().Name(), n.Parent.Name())
	k.rule(n.Level() <= topology.MaxUserLevel, "%s: too many levels", n.Name())
	uid, ok := k.up(p.user(), p.uid, uidMap)
	k.rule(ok, "%s: the creator's uid is not mapped in %s", n.Name(), p.user().Name())
	k.rule(!ok || uid == n.User.OwnerUID, "%s will be owned by uid %d, not by %d", n.Name(), uid, n.User.OwnerUID)
	_, ok = k.up(p.user(), p.gid, gidMap)
	k.rule(ok, "%s: the creator's gid is not mapped in %s", n.Name(), p.user().Name())
	s.creator, s.setgroups = p.uid, k.spaces[p.user()].setgroups
}

// createPID is copy_pid_ns and create_pid_namespace (kernel/pid_namespace.c), by
// a process that is in active and whose children are to be in next.
func (k *kernel) createPID(active, next, n *topology.Namespace) {
	k.rule(next == active, "%s: the children of its creator are to be in another pid namespace", n.Name())
	k.rule(n.Parent == active, "%s: its parent will be %s, not %s", n.Name(), active.Name(), n.Parent.Name())
	above := n.Parent.Owner
	k.rule(above == nil || above == n.Owner || topology.IsAncestor(above, n.Owner),
		"%s: the owner of its parent %s is not above its own", n.Name(), n.Parent.Name())
	k.rule(n.Level() <= topology.MaxPIDLevel, "%s: too many levels", n.Name())
}

func (k *kernel) fork(p *process, s restore.Step) {
	for len(k.procs) <= s.New {
		k.procs = append(k.procs, nil)
	}
	k.rule(k.procs[s.New] == nil, "agent %d exists", s.New)
	child := *p
	child.number, child.born = s.New, k.round
	k.procs[s.New] = &child
	k.create(p, &child, s.Creates, false)
	// alloc_pid (kernel/pid.c): where the parent's children are to be.
	child.in[topology.InPID] = child.in[topology.PIDForChildren]
	pid := k.spaces[child.pid()]
	if pid.init == nil {
		pid.init = &child
	}
	k.rule(!pid.dead, "%s is dead", child.pid().Name())
	for n := child.pid(); n != nil; n = n.Parent {
		k.rule(n.External || !k.spaces[n].set, "the last pid of %s is set already", n.Name())
	}
	for _, n := range s.Creates {
		for u := n.Owner; u != nil; u = u.Owner {
			k.rule(u.External || !k.spaces[u].set, "the limits of %s are set already", u.Name())
		}
	}
	// timens_on_fork (kernel/time/namespace.c).
	child.in[topology.InTime] = child.in[topology.TimeForChildren]
	k.spaces[child.in[topology.InTime]].entered = true
}

func (k *kernel) unshare(p *process, s restore.Step) {
	for _, n := range s.Creates {
		k.rule(n.Type != topology.User, "a user namespace is entered by who creates it")
	}
	k.create(p, p, s.Creates, true)
}
