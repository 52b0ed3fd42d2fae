package dump

import (
	"context"
	"errors"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
)

// inside reads what is only to be had from inside a namespace, through agents.
// The first of them stays outside and opens what the others enter: all share one
// descriptor table.
type inside struct {
	d      *dumper
	crew   *agent.Crew
	admin  bool // CAP_SYS_ADMIN here, and so in every user namespace below
	puppet puppet

	ownProc   procState
	pidMaxOwn bool                   // a pid namespace has a pid_max of its own
	used      map[*node]map[int]bool // pid: numbers that natives had better not take
	last      map[*node]int          // pid: the number that a native took last
	tid       int                    // that the first one takes
}

// visit is a stay in one namespace.
type visit struct {
	node *node
	// ask adds calls, all of which may fail; settings are to be read below proc.
	ask   func(p *agent.Program, proc agent.Arg)
	take  func() error // takes the answers, after all of them
	what  string       // of the state that is missing where it fails
	files bool         // it reads settings
}

// visitBatch bounds the descriptors held at a time, here and in the agents.
const visitBatch = 64

// programCalls bounds how much memory a program takes: about this many calls.
const programCalls = 1000

// visitAll goes through the namespaces. What fails is missing, and no more: only
// the loss of the agents is an error.
func (v *inside) visitAll(visits []visit) error {
	for _, group := range v.groups(visits) {
		a, err := v.enter(group[0].node.owner, false)
		if err != nil {
			if lost(err) {
				return err
			}
			for _, w := range group {
				v.failed(w.node, w.what, err)
			}
			continue
		}
		for len(group) > 0 {
			n := min(visitBatch, len(group))
			if err := v.batch(a, group[:n]); err != nil {
				return err
			}
			group = group[n:]
		}
		if err := a.Exit(v.d.ctx); err != nil {
			return err
		}
	}
	return nil
}

// groups puts together what one agent can do. With CAP_SYS_ADMIN that is all;
// without, it takes one in each owner, where it has every capability.
func (v *inside) groups(visits []visit) [][]visit {
	if v.admin || len(visits) == 0 {
		if len(visits) == 0 {
			return nil
		}
		return [][]visit{visits}
	}
	var groups [][]visit
	at := map[*node]int{}
	for _, w := range visits {
		i, ok := at[w.node.owner]
		if !ok {
			i = len(groups)
			at[w.node.owner], groups = i, append(groups, nil)
		}
		groups[i] = append(groups[i], w)
	}
	return groups
}

// enter makes an agent that may enter what owner owns.
func (v *inside) enter(owner *node, open bool) (*agent.Agent, error) {
	a, err := v.fork(open)
	if err != nil || v.admin || owner == nil || owner == v.d.own[nsfs.InUser] {
		return a, err
	}
	if err := v.join(a, owner); err != nil {
		return nil, errors.Join(err, a.Exit(v.d.ctx))
	}
	return a, nil
}

// fork makes an agent that nobody can trace where it goes. An ordinary user's own
// look into /proc would be refused too: where it takes that, the agent is open. So
// are agents of a restore's family, which enter only what that has made, where
// nobody else is, and which whoever cleans up after it has to know again.
func (v *inside) fork(open bool) (*agent.Agent, error) {
	a, err := v.crew.Root().Fork(v.d.ctx, "fork agent", agent.ForkOptions{})
	if err == nil && !open && !v.admin && v.d.opts.Kin == nil { // root's are all protected
		err = a.Protect(v.d.ctx)
	}
	if err != nil {
		return nil, &lostError{err}
	}
	return a, nil
}

// join has an agent enter one namespace, for good.
func (v *inside) join(a *agent.Agent, n *node) error {
	got, err := v.open([]*node{n})
	if err != nil {
		return err
	}
	if got[0].err != nil {
		return got[0].err
	}
	var p agent.Program
	set := setns(&p, got[0].fd, n)
	p.Call("close", unix.SYS_CLOSE, agent.Int(got[0].fd)).MayFail()
	if err := a.Run(v.d.ctx, &p); err != nil {
		return &lostError{err}
	}
	return set.Err()
}

func setns(p *agent.Program, fd int, n *node) *agent.Call {
	return p.Call("setns "+n.ref.String(), unix.SYS_SETNS, agent.Int(fd), agent.Int(uint32(n.ref.Type))).MayFail()
}

// opened is a descriptor in the agents' table, or why there is none.
type opened struct {
	fd  int
	err error
}

// open gives namespaces to the agents: through a task in each, where that is still
// there, and else from a descriptor of ours.
func (v *inside) open(nodes []*node) ([]opened, error) {
	got, err := v.openByTask(nodes)
	if err != nil {
		return nil, err
	}
	var rest []int
	for i, o := range got {
		if o.err != nil {
			rest = append(rest, i)
		}
	}
	if len(rest) == 0 {
		return got, nil
	}
	others := make([]*node, len(rest))
	for k, i := range rest {
		others[k] = nodes[i]
	}
	again, err := v.reopen(others)
	if err != nil {
		return nil, err
	}
	for k, i := range rest {
		got[i] = again[k]
	}
	return got, nil
}

// openByTask opens namespaces by the links of their members, and holds what it got
// against the numbers.
func (v *inside) openByTask(nodes []*node) ([]opened, error) {
	got := make([]opened, len(nodes))
	calls := make([]*agent.Call, len(nodes))
	inodes := make([]agent.Inode, len(nodes))
	var p, wrong agent.Program
	for i, n := range nodes {
		got[i].err = nsfs.ErrGone
		if n.member.pid == 0 {
			continue
		}
		name := strconv.Itoa(n.member.pid) + "/task/" + strconv.Itoa(n.member.tid) + "/ns/" + n.ref.Type.String()
		calls[i] = p.Call("open", unix.SYS_OPENAT, agent.Int(agent.ProcFD), agent.String(name), agent.Int(unix.O_RDONLY|unix.O_CLOEXEC)).MayFail()
		inodes[i] = p.Inode(calls[i].Ret())
	}
	if p.Len() == 0 {
		return got, nil
	}
	if err := v.crew.Root().Run(v.d.ctx, &p); err != nil {
		return nil, &lostError{err}
	}
	for i, n := range nodes {
		switch {
		case calls[i] == nil || calls[i].Err() != nil:
		case inodes[i].Number() != n.ref.Ino:
			wrong.Call("close", unix.SYS_CLOSE, agent.Int(calls[i].Value())).MayFail()
		default:
			got[i] = opened{fd: calls[i].Value()}
		}
	}
	if wrong.Len() > 0 {
		if err := v.crew.Root().Run(v.d.ctx, &wrong); err != nil {
			return nil, &lostError{err}
		}
	}
	return got, nil
}

// reopen opens namespaces here, and gives the agents the descriptors.
func (v *inside) reopen(nodes []*node) ([]opened, error) {
	got := make([]opened, len(nodes))
	calls := make([]*agent.Call, len(nodes))
	held := make([]*nsfs.NS, 0, len(nodes))
	defer func() {
		for _, ns := range held {
			_ = ns.Close()
		}
	}()
	var p agent.Program
	dir := strconv.Itoa(v.d.self.PID()) + "/fd/"
	for i, n := range nodes {
		ns, err := v.d.reopen(n)
		if err != nil {
			got[i].err = err
			continue
		}
		held = append(held, ns)
		calls[i] = p.Call("open "+n.ref.String(), unix.SYS_OPENAT, agent.Int(agent.ProcFD),
			agent.String(dir+strconv.Itoa(ns.FD())), agent.Int(unix.O_RDONLY|unix.O_CLOEXEC)).MayFail()
	}
	if err := v.crew.Root().Run(v.d.ctx, &p); err != nil {
		return nil, &lostError{err}
	}
	for i, c := range calls {
		if c != nil {
			got[i] = opened{c.Value(), c.Err()}
		}
	}
	return got, nil
}

// batch visits some namespaces one after the other.
func (v *inside) batch(a *agent.Agent, visits []visit) error {
	nodes := make([]*node, len(visits))
	for i, w := range visits {
		nodes[i] = w.node
	}
	got, err := v.open(nodes)
	if err != nil {
		return err
	}
	if err := v.tryProc(a); err != nil {
		return err
	}
	joined := make([]*agent.Call, len(visits))
	for first := 0; first < len(visits); {
		var p agent.Program
		proc := v.openProc(&p)
		next := first
		for ; next < len(visits) && p.Len() < programCalls; next++ {
			if w := visits[next]; got[next].err == nil {
				if w.files {
					proc = proc.renewed(v, &p)
				}
				joined[next] = setns(&p, got[next].fd, w.node)
				w.ask(&p, proc.proc)
				p.Call("close", unix.SYS_CLOSE, agent.Int(got[next].fd)).MayFail()
			}
		}
		proc.close(&p)
		if err := a.Run(v.d.ctx, &p); err != nil {
			return &lostError{err}
		}
		for i := first; i < next; i++ {
			err := got[i].err
			if joined[i] != nil {
				if err = joined[i].Err(); err == nil {
					err = visits[i].take()
				}
			}
			v.failed(visits[i].node, visits[i].what, err)
			visits[i] = visit{} // and what it read
		}
		first = next
	}
	return nil
}

// failed notes that something of a namespace's state could not be read, unless
// that has vanished.
func (v *inside) failed(n *node, what string, err error) {
	if err != nil && !errors.Is(err, nsfs.ErrGone) && !n.external {
		v.d.miss.add(n.ref.String(), what+": "+reason(err))
	}
}

// readFile adds the calls that read a small file of procfs, and returns what
// gives its content afterwards, or errLong. A file of procfs comes a page at a time;
// no pages are an eighth of one.
func readFile(p *agent.Program, name string, pages int) func() ([]byte, error) {
	fd := p.Call("open "+name, unix.SYS_OPENAT, agent.Int(agent.ProcFD), agent.String(name), agent.Int(unix.O_RDONLY|unix.O_CLOEXEC)).MayFail()
	const page = 4096
	size := page
	if pages == 0 {
		pages, size = 1, page/8
	}
	reads := make([]*agent.Call, pages)
	bufs := make([]*agent.Buffer, pages)
	for i := range reads {
		bufs[i] = agent.NewBuffer(size)
		reads[i] = p.Call("read "+name, unix.SYS_READ, fd.Ret(), agent.Out(bufs[i]), agent.Int(size)).MayFail()
	}
	p.Call("close", unix.SYS_CLOSE, fd.Ret()).MayFail()
	return func() ([]byte, error) {
		if err := fd.Err(); err != nil {
			return nil, err
		}
		var b []byte
		for i, r := range reads {
			if err := r.Err(); err != nil {
				return nil, err
			}
			b = append(b, bufs[i].Bytes(r.Value())...)
		}
		if len(b) == size*pages {
			return nil, errLong
		}
		return b, nil
	}
}

var errLong = errors.New("longer than was read")

// close ends all agents.
func (v *inside) close() error { return v.crew.Close() }

// lostError is the loss of an agent, or the end of the context: nothing more
// can be asked.
type lostError struct{ err error }

func (e *lostError) Error() string { return e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

func lost(err error) bool {
	var l *lostError
	return errors.As(err, &l) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
