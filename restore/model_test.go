package restore_test

import (
	"fmt"
	"math/rand/v2"

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
