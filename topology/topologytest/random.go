package topologytest

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/renest/renest/topology"
)

// Options says what [Random] makes. The zero value is a privileged topology of
// random size with neither tasks nor dead pid namespaces.
type Options struct {
	// Namespaces is how many there are beside the eight external ones; 0 is
	// a random number from 4 to 40.
	Namespaces int
	// Depth is how many levels user and pid namespaces nest below the
	// external ones; 0 is 5. The kernel's limits are 33 and 32.
	Depth int
	// Tasks gives each live pid namespace an init and some other tasks.
	// Without it no namespace has a task.
	Tasks bool
	// Dead makes some pid namespaces dead, with all below them.
	Dead bool
	// Unborn makes some pid namespaces unborn. Before Linux 7.1 those can
	// neither be opened nor seen.
	Unborn bool
	// Settings sets some namespaces to what a fresh one is not, as any kernel
	// takes it from an ordinary user too.
	Settings bool
	// Unprivileged asks for what the user UID with the group GID can create
	// with no capability: one user namespace that maps the two, everything
	// else below it.
	Unprivileged bool
	UID, GID     uint32
}

// Random returns a topology that a kernel would let its reader create. It has
// one external namespace of each type, like the host's, and is complete, valid
// and in creation order.
func Random(rng *rand.Rand, o Options) *topology.Graph {
	if o.Namespaces <= 0 {
		o.Namespaces = 4 + rng.IntN(37)
	}
	if o.Depth <= 0 {
		o.Depth = 5
	}
	b := &builder{rng: rng, opts: o, graph: &topology.Graph{Header: header()}}
	b.externals()
	if o.Unprivileged {
		b.outermost()
	}
	for len(b.graph.Namespaces) < len(topology.Types)+o.Namespaces {
		b.another()
	}
	b.numbers()
	if o.Settings {
		b.settings()
	}
	if o.Tasks {
		b.tasks()
	}
	if err := b.graph.SortCreation(); err != nil {
		panic(fmt.Sprintf("topologytest: %v", err)) // a fault of this package
	}
	return b.graph
}

func header() topology.Header {
	return topology.Header{
		Version:  1,
		Tool:     "topologytest",
		Created:  time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Hostname: "host",
		BootID:   "01234567-89ab-cdef-0123-456789abcdef",
		Kernel:   "6.19.0",
		Source:   "proc",
		Complete: true,
	}
}

type builder struct {
	rng   *rand.Rand
	opts  Options
	graph *topology.Graph
	users []*topology.Namespace // that may own something
	pids  []*topology.Namespace // that may have a child
	ext   [topology.NumLinks]*topology.Namespace
}

func (b *builder) chance(percent int) bool { return b.rng.IntN(100) < percent }

func (b *builder) add(n *topology.Namespace) { b.graph.Namespaces = append(b.graph.Namespaces, n) }

// externals adds the namespaces of a host, with the inode numbers and ids that
// the initial ones have from Linux 6.19 on.
func (b *builder) externals() {
	fixed := map[topology.Type][2]uint64{
		topology.IPC: {0xEFFFFFFF, 1}, topology.UTS: {0xEFFFFFFE, 2},
		topology.User: {0xEFFFFFFD, 3}, topology.PID: {0xEFFFFFFC, 4},
		topology.Cgroup: {0xEFFFFFFB, 5}, topology.Time: {0xEFFFFFFA, 6},
		topology.Net: {0xEFFFFFF9, 7}, topology.Mnt: {0xEFFFFFF8, 8},
	}
	for _, t := range topology.Types {
		n := &topology.Namespace{Type: t, Ino: fixed[t][0], ID: fixed[t][1], External: true}
		n.Owner = b.ext[topology.InUser] // nil for the user namespace, which is first
		b.ext[topology.LinkOf(t)] = n
		b.add(n)
	}
	user := b.ext[topology.InUser]
	whole := []topology.Extent{{Inside: 0, Outside: 0, Count: topology.NoID}}
	user.User = &topology.UserState{UIDMap: whole, GIDMap: whole, Setgroups: "allow"}
	b.pids = append(b.pids, b.ext[topology.InPID])
	if !b.opts.Unprivileged {
		b.users = append(b.users, user)
	}
}

// outermost adds the user namespace under which an ordinary user has to stay.
func (b *builder) outermost() {
	root := b.ext[topology.InUser]
	n := &topology.Namespace{Type: topology.User, Owner: root, Parent: root, User: &topology.UserState{
		OwnerUID:  b.opts.UID,
		UIDMap:    []topology.Extent{{Inside: 0, Outside: b.opts.UID, Count: 1}},
		GIDMap:    []topology.Extent{{Inside: 0, Outside: b.opts.GID, Count: 1}},
		Setgroups: "deny",
	}}
	b.add(n)
	b.users = append(b.users, n)
}

// another adds a namespace of any type that may be had.
func (b *builder) another() {
	switch k := b.rng.IntN(100); {
	case k < 30:
		if b.user() {
			return
		}
	case k < 50:
		if b.pid() {
			return
		}
	}
	others := [...]topology.Type{
		topology.Mnt, topology.UTS, topology.IPC, topology.Cgroup, topology.Net, topology.Time,
	}
	n := &topology.Namespace{Type: others[b.rng.IntN(len(others))], Owner: b.pick(b.users)}
	switch n.Type {
	case topology.UTS:
		n.UTS = &topology.UTSState{NodeName: b.name(), DomainName: b.name()}
	case topology.IPC:
		n.IPC = &topology.IPCState{}
	case topology.Net:
		n.Net = &topology.NetState{}
	case topology.Time:
		n.Time = &topology.TimeState{Monotonic: b.offset(), Boottime: b.offset()}
	}
	b.add(n)
}

// pick chooses from a list that is not empty, the youngest as often as not, so
// that there is depth and breadth.
func (b *builder) pick(from []*topology.Namespace) *topology.Namespace {
	if b.chance(40) {
		return from[len(from)-1]
	}
	return from[b.rng.IntN(len(from))]
}

func (b *builder) user() bool {
	var parents []*topology.Namespace
	for _, u := range b.users {
		// create_user_ns wants the creator's ids mapped in the parent.
		if u.Level() < b.opts.Depth && len(u.User.UIDMap) > 0 && len(u.User.GIDMap) > 0 {
			parents = append(parents, u)
		}
	}
	if len(parents) == 0 {
		return false
	}
	p := b.pick(parents)
	n := &topology.Namespace{Type: topology.User, Owner: p, Parent: p, User: &topology.UserState{
		OwnerUID:  b.creator(p),
		UIDMap:    b.idMap(p, p.User.UIDMap),
		GIDMap:    b.idMap(p, p.User.GIDMap),
		Setgroups: p.User.Setgroups,
	}}
	if b.chance(20) {
		n.User.Setgroups = "deny"
	}
	b.add(n)
	b.users = append(b.users, n)
	return true
}

func (b *builder) pid() bool {
	p := b.pick(b.pids)
	if p.Level() >= min(b.opts.Depth, topology.MaxPIDLevel) {
		return false
	}
	// create_pid_namespace wants the parent's owner, or one below it.
	var owners []*topology.Namespace
	for _, u := range b.users {
		if u == p.Owner || topology.IsAncestor(p.Owner, u) {
			owners = append(owners, u)
		}
	}
	n := &topology.Namespace{Type: topology.PID, Owner: b.pick(owners), Parent: p, State: p.State}
	b.add(n)
	switch {
	case n.State == topology.Dead: // as all below a dead one are
		b.pids = append(b.pids, n)
	case b.opts.Unborn && b.chance(10):
		n.State = topology.Unborn // and never a parent
	default:
		if b.opts.Dead && b.chance(15) {
			n.State = topology.Dead
		}
		b.pids = append(b.pids, n)
	}
	return true
}

// numbers gives all namespaces but the external ones inode numbers and ids:
// ids in the order of creation, as from Linux 6.19 on, or in none, as before.
func (b *builder) numbers() {
	made := b.graph.Namespaces[len(topology.Types):]
	inos, ids := b.rng.Perm(len(made)), b.rng.Perm(len(made))
	ordered := b.chance(50)
	for i, n := range made {
		n.Ino = 4026532000 + uint64(inos[i])
		n.ID = 100 + uint64(ids[i])
		if ordered {
			n.ID = 100 + uint64(i)
		}
	}
}
