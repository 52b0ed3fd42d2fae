package restore_test

import (
	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
)

// writeMaps is proc_setgroups_write and map_write (kernel/user_namespace.c).
func (k *kernel) writeMaps(p *process, s restore.Step) {
	n, in := s.NS, k.spaces[s.NS]
	if k.rule(s.New < len(k.procs) && k.procs[s.New] != nil, "there is no agent %d", s.New) {
		target := k.procs[s.New]
		k.rule(!target.ended && target.user() == n, "agent %d is not in it", s.New)
		k.rule(k.round == 0 || target.born < k.round, "agent %d is not heard of before the next round", s.New)
	}
	k.rule(p.user() == n.Parent, "who writes is in %s, not in the parent", p.user().Name())
	k.rule(k.capable(p, n), "who writes has no CAP_SYS_ADMIN in it")
	k.rule(!in.mapped, "maps are written once")
	u := n.User
	if u.Setgroups == "deny" {
		in.setgroups = "deny"
	}
	mine := in.creator == p.uid
	k.rule(!s.UIDHelper && !s.GIDHelper || n.Parent.External && !p.caps, "no helper is needed, or could help")
	k.rule(k.mayMap(p, n, uidMap, s.UIDHelper || mine && k.isOwn(n, uidMap, p.uid)), "uid_map is not permitted")
	k.rule(k.mayMap(p, n, gidMap, s.GIDHelper || mine && in.setgroups == "deny" && k.isOwn(n, gidMap, p.gid)), "gid_map is not permitted")
	in.mapped = true
}

// isOwn reports whether a map has one id, and that of who writes it.
func (k *kernel) isOwn(n *topology.Namespace, maps side, own uint32) bool {
	m := maps(n.User)
	if len(m) != 1 || m[0].Count != 1 {
		return false
	}
	id, ok := k.down(n.Parent, m[0].Outside, maps)
	return ok && id == own
}

// mayMap is new_idmap_permitted, and that each extent lies in one of the
// parent's (map_id_range_down).
func (k *kernel) mayMap(p *process, n *topology.Namespace, maps side, own bool) bool {
	for _, e := range maps(n.User) {
		inside := n.Parent.External
		if !inside {
			for _, o := range maps(n.Parent.User) {
				inside = inside || e.Outside >= o.Inside && uint64(e.Outside)+uint64(e.Count) <= uint64(o.Inside)+uint64(o.Count)
			}
		}
		if !inside || !k.spaces[n.Parent].mapped {
			return false
		}
	}
	return len(maps(n.User)) == 0 || own || k.capable(p, n.Parent)
}

// ids is setresgid(2) and setresuid(2) with the capabilities kept.
func (k *kernel) ids(p *process, s restore.Step) {
	uid, ok := k.down(p.user(), s.UID, uidMap)
	k.rule(ok, "uid %d is not mapped in %s", s.UID, p.user().Name())
	gid, ok := k.down(p.user(), s.GID, gidMap)
	k.rule(ok, "gid %d is not mapped in %s", s.GID, p.user().Name())
	k.rule(p.caps || uid == p.uid && gid == p.gid, "no CAP_SETUID in %s", p.user().Name())
	p.uid, p.gid = uid, gid
}

func (k *kernel) name(p *process, n *topology.Namespace) {
	if !k.rule(p.in[topology.InUTS] == n, "it is in %s", p.in[topology.InUTS].Name()) {
		return
	}
	k.rule(!n.External, "those are the caller's own names")
	k.rule(k.capable(p, n.Owner), "no CAP_SYS_ADMIN in %s", n.Owner.Name())
	k.spaces[n].uts = n.UTS
}

func (k *kernel) clock(p *process, n *topology.Namespace) {
	k.rule(p.in[topology.TimeForChildren] == n, "its children's clocks are of %s", p.in[topology.TimeForChildren].Name())
	k.rule(!k.spaces[n].entered, "the offsets are final")
	k.rule(k.capable(p, n.Owner), "no CAP_SYS_TIME in %s", n.Owner.Name())
	k.spaces[n].clock = n.Time
}

// set is the writing of settings: the permissions functions of their roots.
func (k *kernel) set(p *process, n *topology.Namespace) {
	k.rule(p.in[topology.LinkOf(n.Type)] == n, "it is not in it")
	owner := n.Owner
	if n.Type == topology.User {
		owner = n
	}
	k.rule(k.capable(p, owner), "no capabilities in %s", owner.Name())
	k.rule(!k.spaces[n].set, "it is set already")
	k.spaces[n].set = true
}

// join is setns(2): the install functions of each type.
func (k *kernel) join(p *process, n *topology.Namespace) {
	s := k.spaces[n]
	if k.round == 0 && s.opener != nil && !s.opener.ended && !s.opener.held {
		k.open(s.opener)
	}
	k.rule(s.open && (k.round == 0 || s.opened < k.round), "no descriptor of it was taken")
	if n.Type == topology.User {
		k.rule(p.user() != n, "it is in it")
		k.rule(k.capable(p, n), "no CAP_SYS_ADMIN in it")
		p.in[topology.InUser], p.caps = n, true
		return
	}
	k.rule(n.Owner == nil && p.caps && p.user().External || n.Owner != nil && k.capable(p, n.Owner), "no CAP_SYS_ADMIN in its owner")
	k.rule(p.caps, "no CAP_SYS_ADMIN (and CAP_SYS_CHROOT) in its own user namespace")
	switch n.Type {
	case topology.PID:
		k.rule(n == p.pid() || topology.IsAncestor(p.pid(), n), "it is in %s, which is not above", p.pid().Name())
		p.in[topology.PIDForChildren] = n
		return
	case topology.Time:
		p.in[topology.TimeForChildren], s.entered = n, true
	}
	p.in[topology.LinkOf(n.Type)] = n
}

// exit ends p, and as the init of a pid namespace all that is in it or below
// (zap_pid_ns_processes, kernel/pid_namespace.c).
func (k *kernel) exit(p *process) {
	p.ended = true
	n := p.pid()
	if k.spaces[n].init != p {
		return
	}
	for _, q := range k.procs {
		if q != nil && (q.pid() == n || topology.IsAncestor(n, q.pid())) {
			k.rule(q.ended, "agent %d dies with it", q.number)
			q.ended = true
		}
	}
	k.spaces[n].dead = true
}
