package restore

import (
	"context"
	"errors"
	"fmt"
	"os"

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
	// pending is a program that agent by is yet to run: steps are collected for
	// as long as one agent makes them.
	pending *agent.Program
	by      int
	// opens has the namespaces that an agent is in alone and has to take a
	// descriptor of before it ends; fds the descriptors, in the agents' table.
	opens  map[int][]opening
	opener map[*topology.Namespace]int
	fds    map[*topology.Namespace]*agent.Call
	// inner is forked off the plan's innermost agent, to run commands in.
	inner    *agent.Agent
	commands bool
	notes    []string
	// dead are agents that were told to end.
	dead []int
}

// opening is a descriptor to be opened: ns as the agent's link shows it.
type opening struct {
	ns   *topology.Namespace
	link topology.Link
}

func newExecutor(plan *Plan, crew *agent.Crew) *executor {
	e := &executor{
		plan:   plan,
		crew:   crew,
		agents: make([]*agent.Agent, plan.Agents),
		opens:  map[int][]opening{},
		opener: map[*topology.Namespace]int{},
		fds:    make(map[*topology.Namespace]*agent.Call, len(plan.Graph.Namespaces)),
	}
	e.agents[0] = crew.Root()
	return e
}

// prepare makes the first agent fit to act: as root it lets go of the groups it
// has from its maker, which processes in the tree are not to inherit.
func (e *executor) prepare(ctx context.Context) error {
	var p agent.Program
	p.Call("setgroups", unix.SYS_SETGROUPS, agent.Int(0), agent.Int(0)).MayFail()
	return e.crew.Root().Run(ctx, &p)
}

// run carries out every step.
func (e *executor) run(ctx context.Context, progress func(done, total int)) error {
	for i, s := range e.plan.Steps {
		if err := e.step(ctx, s); err != nil {
			return err
		}
		if progress != nil {
			progress(i+1, len(e.plan.Steps))
		}
	}
	if err := e.flush(ctx); err != nil {
		return err
	}
	if e.commands && e.inner == nil {
		e.inner = e.agents[e.plan.Innermost]
	}
	return e.awaitDead(ctx)
}

// awaitDead waits until what was to die has died.
func (e *executor) awaitDead(ctx context.Context) error {
	for _, by := range e.dead {
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
		return e.unshare(ctx, s)
	case OpMap:
		return e.writeMaps(ctx, s)
	case OpIDs:
		return e.ids(ctx, s)
	case OpName:
		return e.name(ctx, s)
	case OpClock:
		return e.clock(ctx, s)
	case OpCgroup:
		return e.cgroup(ctx, s)
	case OpJoin:
		return e.join(ctx, s)
	case OpExit, OpHold:
		return e.end(ctx, s)
	}
	return fmt.Errorf("unknown step %q", s.Op)
}

// program returns the program that agent by will run next. What another was to
// run before is run now.
func (e *executor) program(ctx context.Context, by int) (*agent.Program, error) {
	a := e.agents[by]
	if e.pending == nil || e.by != by {
		if err := e.flush(ctx); err != nil {
			return nil, err
		}
		if err := a.Wait(ctx); err != nil {
			return nil, err
		}
		e.pending, e.by = new(agent.Program), by
	}
	for _, o := range e.opens[by] {
		e.fds[o.ns] = e.pending.Call("open "+o.ns.Name(), unix.SYS_OPENAT,
			agent.Int(a.Dir()), agent.String("ns/"+o.link.String()), agent.Int(unix.O_RDONLY|unix.O_CLOEXEC))
	}
	delete(e.opens, by)
	return e.pending, nil
}

// flush runs what is pending.
func (e *executor) flush(ctx context.Context) error {
	if e.pending == nil {
		return nil
	}
	p := e.pending
	e.pending = nil
	if err := e.agents[e.by].Run(ctx, p); err != nil {
		return explain(err)
	}
	return nil
}

// open has the descriptor of n opened by agent by, when that next does
// something.
func (e *executor) open(n *topology.Namespace, by int, link topology.Link) {
	e.opens[by] = append(e.opens[by], opening{n, link})
	e.opener[n] = by
}

// fd returns the number of n's descriptor in the agents' table.
func (e *executor) fd(ctx context.Context, n *topology.Namespace) (int, error) {
	if n.External {
		if _, ok := e.opener[n]; !ok {
			e.open(n, 0, topology.LinkOf(n.Type))
		}
	}
	by, ok := e.opener[n]
	if !ok {
		return 0, fmt.Errorf("%s is entered before it was made", n.Name())
	}
	if len(e.opens[by]) > 0 {
		if err := e.flush(ctx); err != nil {
			return 0, err
		}
		if _, err := e.program(ctx, by); err != nil {
			return 0, err
		}
	}
	if err := e.flush(ctx); err != nil {
		return 0, err
	}
	return e.fds[n].Value(), nil
}

func (e *executor) fork(ctx context.Context, s Step) error {
	p, err := e.program(ctx, s.By)
	if err != nil {
		return err
	}
	what := "fork"
	if len(s.Creates) > 0 {
		what = "create " + names(s.Creates)
	}
	e.agents[s.New] = p.Fork(e.crew, what, agent.ForkOptions{Flags: flags(s.Creates)})
	for _, n := range s.Creates {
		e.open(n, s.New, topology.LinkOf(n.Type))
	}
	return nil
}

func (e *executor) unshare(ctx context.Context, s Step) error {
	p, err := e.program(ctx, s.By)
	if err != nil {
		return err
	}
	p.Call("create "+names(s.Creates), unix.SYS_UNSHARE, agent.Int(flags(s.Creates)))
	for _, n := range s.Creates {
		switch n.Type {
		case topology.PID: // unborn: cannot be opened before Linux 7.1
		case topology.Time:
			e.open(n, s.By, topology.TimeForChildren)
		default:
			e.open(n, s.By, topology.LinkOf(n.Type))
		}
	}
	return nil
}

func (e *executor) join(ctx context.Context, s Step) error {
	fd, err := e.fd(ctx, s.NS)
	if err != nil {
		return err
	}
	p, err := e.program(ctx, s.By)
	if err != nil {
		return err
	}
	p.Call("enter "+s.NS.Name(), unix.SYS_SETNS, agent.Int(fd), agent.Int(cloneFlag(s.NS.Type)))
	if s.NS.Type == topology.User {
		dumpable(p)
	}
	return nil
}

// dumpable makes an agent's files in /proc its own again. The kernel gives them
// to root whenever credentials change (commit_creds).
func dumpable(p *agent.Program) {
	p.Call("prctl PR_SET_DUMPABLE", unix.SYS_PRCTL, agent.Int(unix.PR_SET_DUMPABLE), agent.Int(1))
}

// end lets an agent go, or stay for good.
func (e *executor) end(ctx context.Context, s Step) error {
	if e.commands && s.By == e.plan.Innermost {
		if err := e.flush(ctx); err != nil {
			return err
		}
		var err error
		if e.inner, err = e.agents[s.By].Fork(ctx, "fork", agent.ForkOptions{}); err != nil {
			return err
		}
	}
	if _, err := e.program(ctx, s.By); err != nil { // takes its descriptors
		return err
	}
	if err := e.flush(ctx); err != nil {
		return err
	}
	if s.Op == OpHold {
		return explain(e.agents[s.By].Hold(ctx))
	}
	e.dead = append(e.dead, s.By)
	return explain(e.agents[s.By].Exit(ctx))
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

// explain adds the remedy to an error of the kernel, where one is known.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("%w: a limit is exhausted: raise user.max_*_namespaces (sysctl), in every user namespace above; 33 levels of user and 32 of pid namespaces are the kernel's own limit", err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: restore as root, outside a chroot, or allow user namespaces (kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)", err)
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return fmt.Errorf("%w: raise the limit of open files (ulimit -Hn)", err)
	}
	return err
}

// procFile is where a descriptor of the crew is seen from outside.
func (e *executor) procFile(fd int) string {
	return fmt.Sprintf("/proc/%d/fd/%d", e.crew.Guardian().PID(), fd)
}

// inode asks the kernel for the number of a namespace that was made.
func (e *executor) inode(n *topology.Namespace) (uint64, error) {
	call := e.fds[n]
	if call == nil {
		return 0, nil // unborn
	}
	link, err := os.Readlink(e.procFile(call.Value()))
	if err != nil {
		return 0, err
	}
	_, ino, err := topology.ParseName(link)
	return ino, err
}
