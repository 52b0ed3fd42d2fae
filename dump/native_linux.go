package dump

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// native is the look at a user namespace, a pid namespace, or one of each, that only
// a process has that enters the one for good, or is born in the other. A child that
// an agent spawns does both. Its numbers in pid namespaces are asked for (clone3(2),
// set_tid), for that leaves their last pids as they were: only what alloc_pid
// (kernel/pid.c) chooses by itself moves them.
type native struct {
	user, pid *node

	spawned       *agent.Call
	born, entered *agent.Call
	done          *agent.Call // the child's last
	limits        *sysctlFiles
	max, last     fileRead
}

// nativeTID is where the search for a free number begins: the kernel gives numbers
// below RESERVED_PIDS (300) only once to a namespace, in its first days, and every
// pid_max is above.
const nativeTID = 299

// natives reads the limits of user namespaces, and pid_max and the last pid of pid
// namespaces.
func (v *inside) natives(users, pids []*node) error {
	if len(users)+len(pids) == 0 {
		return nil
	}
	if len(pids) > 0 {
		var err error
		if v.pidMaxOwn, err = v.crew.Root().OwnPIDMax(v.d.ctx); err != nil {
			return &lostError{err}
		}
	}
	groups, tops := v.nativeGroups(users, pids)
	for _, top := range tops {
		group := groups[top]
		for range 16 { // numbers that are taken after all
			again, err := v.nativeGroup(top, group)
			if err != nil {
				return err
			}
			if group = again; len(group) == 0 {
				break
			}
		}
		for _, x := range group {
			v.failed(x.pid, "pid_max and last pid", unix.EEXIST)
		}
	}
	return nil
}

// nativeGroups puts together what one agent can look at: with CAP_SYS_ADMIN all,
// without what is below one child of the caller's own user namespace, which is where
// it has every capability. A pid namespace goes with its owner. User namespaces
// alone come first: their children are to be born where the agent is.
func (v *inside) nativeGroups(users, pids []*node) (groups map[*node][]*native, tops []*node) {
	groups = map[*node][]*native{}
	add := func(n *node, x *native) {
		top := v.top(n)
		if groups[top] == nil {
			tops = append(tops, top)
		}
		groups[top] = append(groups[top], x)
	}
	with := map[*node]bool{}
	pairs := make([]*native, len(pids))
	wanted := map[*node]bool{}
	for _, n := range users {
		wanted[n] = true
	}
	for i, n := range pids {
		pairs[i] = &native{pid: n}
		if wanted[n.owner] && !with[n.owner] {
			pairs[i].user, with[n.owner] = n.owner, true
		}
	}
	for _, n := range users {
		if !with[n] {
			add(n, &native{user: n})
		}
	}
	for i, n := range pids {
		add(n.owner, pairs[i])
	}
	return groups, tops
}

// top returns the user namespace from which an agent can enter n, nil where it can
// from here.
func (v *inside) top(n *node) *node {
	own := v.d.own[nsfs.InUser]
	if v.admin || n == nil || n == own {
		return nil
	}
	for n.owner != nil && n.owner != own {
		n = n.owner
	}
	return n
}

// nativeGroup looks, and returns those of which a number was taken.
func (v *inside) nativeGroup(top *node, group []*native) (again []*native, err error) {
	a, err := v.fork(false)
	if err != nil {
		return nil, err
	}
	if top != nil {
		if err := v.join(a, top); err != nil {
			if lost(err) {
				return nil, err
			}
			for _, x := range group {
				x.fail(v, err)
			}
			group = nil
		}
	}
	for len(group) > 0 {
		n := min(visitBatch/2, len(group))
		taken, err := v.nativeBatch(a, top, group[:n])
		if err != nil {
			return nil, err
		}
		again, group = append(again, taken...), group[n:]
	}
	if err := a.Exit(v.d.ctx); err != nil {
		return nil, &lostError{err}
	}
	return again, nil
}

func (x *native) fail(v *inside, err error) {
	if x.user != nil {
		v.failed(x.user, "limits", err)
	}
	if x.pid != nil {
		v.failed(x.pid, "pid_max and last pid", err)
	}
}

func (v *inside) nativeBatch(a *agent.Agent, top *node, group []*native) (again []*native, err error) {
	var nodes []*node
	for _, x := range group {
		for _, n := range []*node{x.user, x.pid} {
			if n != nil {
				nodes = append(nodes, n)
			}
		}
	}
	list, err := v.open(nodes)
	if err != nil {
		return nil, err
	}
	got := map[*node]opened{}
	if err := v.tryProc(a); err != nil {
		return nil, err
	}
	var p agent.Program
	proc := v.openProc(&p)
	for i, n := range nodes {
		got[n] = list[i]
	}
	for _, x := range group {
		proc = proc.renewed(v, &p)
		x.ask(v, &p, proc.proc, top, got)
	}
	for _, o := range list {
		if o.err == nil {
			p.Call("close", unix.SYS_CLOSE, agent.Int(o.fd)).MayFail()
		}
	}
	proc.close(&p)
	if err := a.Run(v.d.ctx, &p); err != nil {
		return nil, &lostError{err}
	}
	for _, x := range group {
		if x.take(v, got) {
			again = append(again, x)
		}
		*x = native{user: x.user, pid: x.pid} // without what it read
	}
	return again, nil
}

// ask adds the calls of one look.
func (x *native) ask(v *inside, p *agent.Program, proc agent.Arg, top *node, got map[*node]opened) {
	var child agent.Program
	var o agent.ForkOptions
	if x.pid != nil {
		if got[x.pid].err != nil {
			return
		}
		x.born = setns(p, got[x.pid].fd, x.pid)
		o.SetTID = v.numbers(x.pid)
		if v.pidMaxOwn {
			x.max = readSmall(&child, proc, pidMaxFile)
		}
		x.last = readSmall(&child, proc, "sys/kernel/ns_last_pid")
	}
	if x.user != nil && got[x.user].err == nil {
		if x.user != top {
			x.entered = child.Call("setns", unix.SYS_SETNS, agent.Int(got[x.user].fd), agent.Int(unix.CLONE_NEWUSER))
		}
		x.limits = readSysctls(&child, proc, topology.SysctlNames(topology.User))
	}
	x.done = child.Call("getpid", unix.SYS_GETPID)
	x.spawned = p.Spawn(v.crew, "spawn", o, &child).MayFail()
}

// take takes the answers, and reports whether to try again with other numbers.
func (x *native) take(v *inside, got map[*node]opened) (again bool) {
	if x.pid != nil && got[x.pid].err != nil {
		v.failed(x.pid, "pid_max and last pid", got[x.pid].err)
		return false
	}
	err := x.spawned.Err()
	if x.born != nil && x.born.Err() != nil {
		err = x.born.Err()
	}
	switch {
	case errors.Is(err, unix.EEXIST):
		return true
	case errors.Is(err, unix.ENOMEM) && x.pid != nil: // its init has died
		return false
	case err != nil:
		x.fail(v, err)
		return false
	}
	entered := error(nil)
	if x.entered != nil {
		entered = x.entered.Err()
	}
	if x.done.Value() == 0 && entered == nil {
		return false // killed, with its pid namespace
	}
	if x.pid != nil {
		x.takePID(v)
	}
	if x.user != nil {
		v.failed(x.user, "limits", x.takeUser(got[x.user].err))
	}
	return false
}

func (x *native) takeUser(err error) error {
	if err == nil && x.entered != nil {
		err = x.entered.Err()
	}
	if err != nil {
		return err
	}
	values, err := x.limits.values()
	x.user.limits = differing(topology.SysctlNames(topology.User), values, topology.SysctlDefault)
	return err
}

func (x *native) takePID(v *inside) {
	for _, f := range []struct {
		read fileRead
		to   *int
	}{{x.max, &x.pid.out.PID.PIDMax}, {x.last, &x.pid.out.PID.LastPID}} {
		if f.read.open == nil {
			continue
		}
		text, err := f.read.text()
		if err == nil {
			*f.to, err = strconv.Atoi(text)
			*f.to = max(*f.to, 0) // -1 where every pid was chosen, and none was the last
		}
		if !errors.Is(err, unix.ENOENT) {
			v.failed(x.pid, "pid_max and last pid", err)
		}
	}
}

// numbers returns what a child is to be called in n and in those above, the
// caller's own apart.
func (v *inside) numbers(n *node) []int {
	if v.used == nil {
		v.used, v.last = map[*node]map[int]bool{}, map[*node]int{}
		for _, t := range v.d.tasks {
			n := t.nodes[nsfs.InPID]
			for i := len(t.nspid) - 1; i >= 0 && n != nil; i-- {
				v.use(n, t.nspid[i])
				n = n.parent
			}
		}
	}
	var list []int
	for ; n != nil && n != v.d.own[nsfs.InPID]; n = n.parent {
		list = append(list, v.free(n))
	}
	return list
}

func (v *inside) use(n *node, tid int) {
	if tid > nativeTID {
		return
	}
	if v.used[n] == nil {
		v.used[n] = map[int]bool{}
	}
	v.used[n][tid] = true
}

// free returns a number that no task of n was seen to have, and another one each
// time: that of a child which has ended is taken until the kernel has let go of it.
func (v *inside) free(n *node) int {
	for range nativeTID {
		tid, begun := v.last[n]
		switch tid--; {
		case !begun:
			tid = v.tid
		case tid < 2:
			tid = nativeTID
		}
		v.last[n] = tid
		if !v.used[n][tid] {
			return tid
		}
	}
	return nativeTID
}

const pidMaxFile = "sys/kernel/pid_max"
