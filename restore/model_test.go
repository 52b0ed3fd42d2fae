package restore_test

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
)

// kernel is a model of what Linux lets processes do to namespaces, as far as
// plans are concerned. It carries out the steps of a plan and notes each rule
// that one breaks; what it then believes there is can be compared with what the
// plan was to make.
//
// Ids are those of the caller's user namespace, which has them all.
type kernel struct {
	host   [topology.NumLinks]*topology.Namespace
	spaces map[*topology.Namespace]*space
	procs  []*process
	broken []string
	// round is that of the schedule, counted from 1. It is 0 where steps are
	// carried out one after the other.
	round int
}

// space is what the model knows of a namespace that was made.
type space struct {
	creator   uint32 // euid, of a user namespace
	mapped    bool   // its maps were written
	setgroups string
	init      *process // the first of a pid namespace
	dead      bool     // init is gone
	uts       *topology.UTSState
	clock     *topology.TimeState
	entered   bool // a time namespace: its offsets are final
	set       bool // of a user namespace its limits, of a pid namespace its last pid
	// A descriptor is taken by opener, the process that is in it alone, when
	// that next does anything.
	opener *process
	link   topology.Link
	open   bool
	opened int // in which round
}

// process is one agent.
type process struct {
	number   int
	in       [topology.NumLinks]*topology.Namespace
	uid, gid uint32
	caps     bool // all of them, in its user namespace
	ended    bool
	held     bool
	born     int // in which round
}

func (p *process) user() *topology.Namespace { return p.in[topology.InUser] }
func (p *process) pid() *topology.Namespace  { return p.in[topology.InPID] }

// newKernel returns a model with one process, the first agent of a plan.
func newKernel(p *restore.Plan, privileged bool, uid, gid uint32) *kernel {
	k := &kernel{spaces: map[*topology.Namespace]*space{}}
	for _, t := range topology.Types {
		k.host[topology.LinkOf(t)] = &topology.Namespace{Type: t, External: true}
	}
	for _, n := range p.Graph.Namespaces {
		if _, bound := p.Bound[n]; n.External && !bound {
			k.host[topology.LinkOf(n.Type)] = n
		}
	}
	k.host[topology.PIDForChildren] = k.host[topology.InPID]
	k.host[topology.TimeForChildren] = k.host[topology.InTime]
	first := &process{in: k.host, uid: uid, gid: gid, caps: privileged}
	for _, n := range k.host {
		k.spaces[n] = &space{mapped: true, setgroups: "allow", init: first, entered: true, open: true}
	}
	for n := range p.Bound {
		k.spaces[n] = &space{open: true}
	}
	k.procs = []*process{first}
	return k
}

// rule notes that a rule is broken unless it holds, and returns whether it does.
func (k *kernel) rule(holds bool, format string, args ...any) bool {
	if !holds {
		k.broken = append(k.broken, fmt.Sprintf(format, args...))
	}
	return holds
}

type side func(*topology.UserState) []topology.Extent

func uidMap(u *topology.UserState) []topology.Extent { return u.UIDMap }
func gidMap(u *topology.UserState) []topology.Extent { return u.GIDMap }

// down turns an id of user into one of the caller's (make_kuid), up the other
// way (from_kuid).
func (k *kernel) down(user *topology.Namespace, id uint32, maps side) (uint32, bool) {
	for ; !user.External; user = user.Parent {
		out, ok := topology.MapDown(maps(user.User), id)
		if !ok || !k.spaces[user].mapped {
			return 0, false
		}
		id = out
	}
	return id, true
}

func (k *kernel) up(user *topology.Namespace, id uint32, maps side) (uint32, bool) {
	if user.External {
		return id, true
	}
	id, ok := k.up(user.Parent, id, maps)
	if !ok || !k.spaces[user].mapped {
		return 0, false
	}
	return topology.MapUp(maps(user.User), id)
}

// capable is cap_capable (security/commoncap.c), of any capability.
func (k *kernel) capable(p *process, user *topology.Namespace) bool {
	for ; ; user = user.Parent {
		switch {
		case user == p.user():
			return p.caps
		case user.External:
			return false
		case user.Parent == p.user() && k.spaces[user].creator == p.uid:
			return true
		}
	}
}

// step carries out one step of a plan.
func (k *kernel) step(s restore.Step) {
	before := len(k.broken)
	defer func() {
		for i := before; i < len(k.broken); i++ {
			k.broken[i] = s.String() + ": " + k.broken[i]
		}
	}()
	if !k.rule(s.By >= 0 && s.By < len(k.procs) && k.procs[s.By] != nil, "there is no such agent") {
		return
	}
	p := k.procs[s.By]
	if !k.rule(!p.ended && !p.held, "it has ended, or holds") {
		return
	}
	k.rule(k.round == 0 || p.born < k.round, "it is not heard of before the next round")
	switch s.Op {
	case restore.OpMap, restore.OpName, restore.OpClock, restore.OpSet, restore.OpJoin:
		if !k.rule(s.NS != nil && k.spaces[s.NS] != nil, "that was not made") {
			return
		}
	}
	k.open(p)
	switch s.Op {
	case restore.OpFork:
		k.fork(p, s)
	case restore.OpUnshare:
		k.unshare(p, s)
	case restore.OpMap:
		k.writeMaps(p, s)
	case restore.OpIDs:
		k.ids(p, s)
	case restore.OpName:
		k.name(p, s.NS)
	case restore.OpClock:
		k.clock(p, s.NS)
	case restore.OpSet:
		k.set(p, s.NS)
	case restore.OpJoin:
		k.join(p, s.NS)
	case restore.OpExit:
		k.exit(p)
	case restore.OpHold:
		p.held = true
	default:
		k.rule(false, "no such operation")
	}
}

// carryOut carries the steps of a plan out in rounds: in each, those of one
// agent in their order, and those of different agents in any.
func (k *kernel) carryOut(rng *rand.Rand, plan *restore.Plan) {
	for i, round := range restore.Schedule(plan) {
		k.round = i + 1
		queues := map[int][]restore.Step{}
		var agents []int // once for each step, so that each has its chance
		for _, j := range round {
			s := plan.Steps[j]
			queues[s.By] = append(queues[s.By], s)
			agents = append(agents, s.By)
		}
		rng.Shuffle(len(agents), func(i, j int) { agents[i], agents[j] = agents[j], agents[i] })
		for _, by := range agents {
			k.step(queues[by][0])
			queues[by] = queues[by][1:]
		}
		for _, p := range k.procs {
			if p != nil && p.born < k.round && !p.ended && !p.held {
				k.open(p)
			}
		}
	}
}

// open has p take the descriptors that only it can take.
func (k *kernel) open(p *process) {
	for n, s := range k.spaces {
		if s.opener == p && !s.open && p.in[s.link] == n {
			s.open, s.opened = true, k.round
		}
	}
}

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
