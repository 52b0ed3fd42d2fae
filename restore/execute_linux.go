package restore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// executor carries a plan out.
type executor struct {
	plan *Plan
	crew *agent.Crew
	// agents has those of the plan, by number.
	agents []*agent.Agent
	// todo is what each agent does in the round at hand; busy, in which order
	// the first step of each came.
	todo map[int]*work
	busy []int
	// wanted has the namespaces of which a descriptor is wanted: somebody
	// enters them, or keeps them. opens has those that an agent alone is in and
	// is to open when it first acts; fds the descriptors, in the agents' table.
	wanted map[*topology.Namespace]bool
	opens  map[int][]opening
	fds    map[*topology.Namespace]*agent.Call
	// sockets are in hidden net namespaces.
	sockets map[*topology.Namespace]*agent.Call
	// inner is forked off the plan's innermost agent, to run commands in.
	inner    *agent.Agent
	commands bool
	notes    []string
	// after looks at the results of the round at hand.
	after []func() error
	// groups: where agents take ids they can let go of the caller's groups, which
	// before that they could not.
	groups bool
	// clocks has what was written of each time namespace.
	clocks map[*topology.Namespace]topology.TimeState

	settings settings
	cgroup   cgroups
	numbers  numbering
	hands    hands
	// ended are agents that were told to exit.
	ended []int
}

// work is what one agent does in a round.
type work struct {
	program agent.Program
	end     Op // OpExit or OpHold, where it is the agent's last
	steps   int
}

// opening is a descriptor to be opened: ns as the agent's link shows it.
type opening struct {
	ns   *topology.Namespace
	link topology.Link
}

func newExecutor(plan *Plan, crew *agent.Crew) *executor {
	e := &executor{
		plan:    plan,
		crew:    crew,
		agents:  make([]*agent.Agent, plan.Agents),
		todo:    map[int]*work{},
		opens:   map[int][]opening{},
		wanted:  map[*topology.Namespace]bool{},
		fds:     map[*topology.Namespace]*agent.Call{},
		sockets: map[*topology.Namespace]*agent.Call{},

		clocks: map[*topology.Namespace]topology.TimeState{},

		settings: settings{left: map[*topology.Namespace]map[string]bool{}},
		cgroup:   cgroups{fds: map[string]int{}},
	}
	e.agents[0] = crew.Root()
	for _, n := range plan.Keep {
		e.wanted[n] = true
	}
	for _, n := range plan.Sockets {
		e.sockets[n] = nil
	}
	for _, s := range plan.Steps {
		if s.Op == OpJoin {
			e.wanted[s.NS] = true
		}
	}
	return e
}

// prepare makes the first agent fit to act: as root it lets go of the groups it
// has from its maker, which processes in the tree are not to inherit. It opens
// the caller's namespaces that the plan enters, and takes those that stand for
// external ones, in the agents' table from first on.
func (e *executor) prepare(ctx context.Context, t targets, first int) error {
	var p agent.Program
	e.take(&p, t, first)
	p.Call("setgroups", unix.SYS_SETGROUPS, agent.Int(0), agent.Int(0)).MayFail()
	for _, s := range e.plan.Steps {
		if s.Op == OpJoin && s.NS.External && e.fds[s.NS] == nil {
			e.open(&p, e.agents[0], opening{s.NS, topology.LinkOf(s.NS.Type)})
		}
	}
	return explain(e.agents[0].Run(ctx, &p))
}

// run carries out every step, round by round.
func (e *executor) run(ctx context.Context, progress func(done, total int)) error {
	done := 0
	did := func(steps int) {
		if done += steps; progress != nil && steps > 0 {
			progress(done, len(e.plan.Steps)+len(e.plan.Pins))
		}
	}
	for _, round := range schedule(e.plan) {
		// Who waits for an agent notices too, but agents are quick.
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := e.raise(ctx, round); err != nil {
			return e.locate(explain(err))
		}
		for _, i := range round {
			s := e.plan.Steps[i]
			s.By = e.hand(s)
			e.program(s.By).Part(i + 1)
			if err := e.step(ctx, s); err != nil {
				return err
			}
			e.todo[s.By].steps++
		}
		// A child that has nothing to do for a while still takes its
		// descriptors now: others may enter what it is in.
		for _, by := range slices.Sorted(maps.Keys(e.opens)) {
			if e.agents[by].PID() != 0 {
				e.program(by)
			}
		}
		if err := e.flush(ctx, did); err != nil {
			return err
		}
	}
	if e.commands && e.inner == nil {
		e.inner = e.agents[e.plan.Innermost]
	}
	if err := e.dismiss(ctx); err != nil {
		return err
	}
	return e.awaitEnded(ctx)
}

// awaitEnded waits until agents that were told to end are gone, and the pid
// namespaces with them whose init they were.
func (e *executor) awaitEnded(ctx context.Context) error {
	over := make(map[int]bool, len(e.ended))
	for _, by := range e.ended {
		over[by] = true
	}
	inUse := make(map[int]bool, len(e.agents))
	for by, a := range e.agents {
		inUse[a.PID()] = inUse[a.PID()] || !over[by]
	}
	for _, by := range e.ended {
		if inUse[e.agents[by].PID()] { // by one that came later
			continue
		}
		if err := e.agents[by].Gone(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (e *executor) step(ctx context.Context, s Step) error {
	switch s.Op {
	case OpFork:
		return e.fork(ctx, s)
	case OpUnshare:
		e.unshare(s)
	case OpMap:
		return e.writeMaps(ctx, s)
	case OpIDs:
		e.ids(s)
	case OpName:
		e.name(s)
	case OpClock:
		return e.clock(s)
	case OpSet:
		return e.set(ctx, s)
	case OpJoin:
		e.join(s)
	case OpExit, OpHold:
		e.end(s)
	default:
		return fmt.Errorf("unknown step %q", s.Op)
	}
	return nil
}

// program returns what agent by does in this round, to be added to.
func (e *executor) program(by int) *agent.Program {
	w := e.todo[by]
	if w == nil {
		w = new(work)
		e.todo[by] = w
		e.busy = append(e.busy, by)
	}
	for _, o := range e.opens[by] {
		if e.wanted[o.ns] {
			e.open(&w.program, e.agents[by], o)
		}
		if _, hidden := e.sockets[o.ns]; hidden {
			e.sockets[o.ns] = w.program.Call("socket in "+o.ns.Name(), unix.SYS_SOCKET, agent.Int(unix.AF_UNIX), agent.Int(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC), agent.Int(0))
		}
	}
	delete(e.opens, by)
	return &w.program
}

// open adds the opening of a namespace that the agent is in.
func (e *executor) open(p *agent.Program, a *agent.Agent, o opening) {
	e.fds[o.ns] = p.Call("open "+o.ns.Name(), unix.SYS_OPENAT,
		agent.Int(a.Dir()), agent.String("ns/"+o.link.String()), agent.Int(unix.O_RDONLY|unix.O_CLOEXEC))
}

// flush has all agents do what they have to in this round, and waits for them; did
// is told of the steps of each.
// The error is that of the first that failed, in the order of the plan.
func (e *executor) flush(ctx context.Context, did func(steps int)) error {
	var started []int
	var first error
	for _, by := range e.busy {
		if first = e.start(ctx, by); first != nil {
			break
		}
		started = append(started, by)
	}
	for _, by := range started {
		if err := e.agents[by].Wait(ctx); err != nil && first == nil {
			first = err
		}
		if first == nil {
			did(e.todo[by].steps)
		}
		if first == nil && ctx.Err() != nil {
			first = context.Cause(ctx)
		}
	}
	clear(e.todo)
	e.busy = e.busy[:0]
	for _, look := range e.after {
		if first == nil {
			first = look()
		}
	}
	e.after = nil
	return e.locate(explain(first))
}

func (e *executor) start(ctx context.Context, by int) error {
	a, w := e.agents[by], e.todo[by]
	switch w.end {
	case OpExit:
		e.ended = append(e.ended, by)
		return a.StartExit(ctx, &w.program)
	case OpHold:
		return a.StartHold(ctx, &w.program)
	}
	return a.Start(ctx, &w.program)
}

func (e *executor) fork(ctx context.Context, s Step) error {
	o := agent.ForkOptions{Flags: flags(s.Creates)}
	what := "fork"
	if len(s.Creates) > 0 {
		what = "create " + names(s.Creates)
	}
	if s.NS != nil {
		if err := e.intoCgroup(ctx, s.NS, &o); err != nil {
			return err
		}
	}
	if len(s.PIDs) > 0 {
		if err := e.forkNumbered(ctx, s, what, o); err != nil {
			return err
		}
	} else {
		e.agents[s.New] = e.program(s.By).Fork(e.crew, what, o)
	}
	for _, n := range s.Creates {
		if _, hidden := e.sockets[n]; hidden || e.wanted[n] {
			e.opens[s.New] = append(e.opens[s.New], opening{n, topology.LinkOf(n.Type)})
		}
	}
	return nil
}

func (e *executor) unshare(s Step) {
	p := e.program(s.By)
	p.Call("create "+names(s.Creates), unix.SYS_UNSHARE, agent.Int(flags(s.Creates)))
	for _, n := range s.Creates {
		switch n.Type {
		case topology.PID: // unborn: cannot be opened before Linux 7.1
		case topology.Time:
			e.open(p, e.agents[s.By], opening{n, topology.TimeForChildren})
		default:
			e.open(p, e.agents[s.By], opening{n, topology.LinkOf(n.Type)})
		}
	}
}

func (e *executor) join(s Step) {
	p := e.program(s.By)
	p.Call("enter "+s.NS.Name(), unix.SYS_SETNS, agent.Int(e.fds[s.NS].Value()), agent.Int(cloneFlag(s.NS.Type)))
	if s.NS.Type == topology.User {
		p.Expose()
	}
}

// end lets an agent go, or stay for good.
func (e *executor) end(s Step) {
	p := e.program(s.By)
	e.todo[s.By].end = s.Op
	if e.commands && s.By == e.plan.Innermost {
		e.inner = p.Fork(e.crew, "fork", agent.ForkOptions{})
	}
}

// flags returns the CLONE_NEW* bits that create the given namespaces.
func flags(list []*topology.Namespace) uint64 {
	var f uint64
	for _, n := range list {
		f |= cloneFlag(n.Type)
	}
	return f
}

// cloneFlag returns the CLONE_NEW* bit of a type.
func cloneFlag(t topology.Type) uint64 {
	n, err := nsfs.ParseType(t.String())
	if err != nil {
		panic(err) // a valid graph has valid types
	}
	return uint64(n)
}

// locate adds which step an error is of, as --dry-run numbers them.
func (e *executor) locate(err error) error {
	var call *agent.CallError
	if !errors.As(err, &call) || call.Part == 0 {
		return err
	}
	return fmt.Errorf("step %d of %d, %w", call.Part, len(e.plan.Steps), err)
}

// procFile is where a descriptor of the crew is seen from outside.
func (e *executor) procFile(fd int) string {
	return fmt.Sprintf("/proc/%d/fd/%d", e.crew.Guardian().PID(), fd)
}

// inode asks the kernel for the number of a namespace that a descriptor was
// taken of.
func (e *executor) inode(n *topology.Namespace) (uint64, error) {
	link, err := os.Readlink(e.procFile(e.fds[n].Value()))
	if err != nil {
		return 0, err
	}
	_, ino, err := topology.ParseName(link)
	return ino, err
}
