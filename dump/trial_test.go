//go:build linux

package dump

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// try has a copy of a random task act on a random namespace, and once it has
// become another by that, on a second one.
func (w *world) try(n *tally) {
	a := w.actors[w.rng.IntN(len(w.actors))]
	child := w.copyOf(a.Agent)
	x := w.draw(child)
	who := w.on(n, child, x)
	joined := w.join(n, child, x, who)
	if joined && x.ref.Type == nsfs.User {
		w.dumpable(child)
		y := w.draw(child)
		w.join(n, child, y, w.on(n, child, y))
	}
	if err := child.Exit(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// draw draws a namespace, and others if the first has nothing to do with the task,
// as most have.
func (w *world) draw(a *agent.Agent) *target {
	var x *target
	for range 3 {
		x = w.targets[w.rng.IntN(len(w.targets))]
		if w.ask(a, x).Rule != topology.CapNone {
			break
		}
	}
	return x
}

func (w *world) copyOf(a *agent.Agent) *agent.Agent {
	w.t.Helper()
	child, err := a.Fork(w.t.Context(), "copy", agent.ForkOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return child
}

// on asks about a task and a namespace, and has the task do what needs no joining,
// or is done by a member.
func (w *world) on(n *tally, a *agent.Agent, x *target) *Actor {
	w.t.Helper()
	who := w.ask(a, x)
	if n.rules == nil {
		n.rules = map[topology.CapRule]int{}
	}
	n.pairs++
	n.rules[who.Rule]++
	w.fromAfar(n, a, x, who)
	if w.member(a, x) {
		w.within(n, a, x, who)
	}
	return who
}

// ask is the question that is tested.
func (w *world) ask(a *agent.Agent, x *target) *Actor {
	w.t.Helper()
	task, err := w.proc.Task(a.PID())
	if err != nil {
		w.t.Fatal(err)
	}
	defer task.Close()
	who, err := authority(w.proc, task, x.NS)
	if err != nil {
		w.t.Fatal(err)
	}
	if who.Unsure || who.Join.Unsure {
		w.t.Errorf("unsure of %s", w.told(who))
	}
	return who
}

func (w *world) told(q *Actor) string {
	s := fmt.Sprintf("pid %d, euid %d, in %s, to %s: rule %s, holds %v; permitted %v; joins: %v, lacks %v;",
		q.PID, q.EUID, q.User.Name(), q.Target.Name(), q.Rule, q.Held, q.Permitted, q.Join.OK, q.Join.Missing)
	for _, step := range q.Steps {
		if step.NS != nil {
			s += fmt.Sprintf(" %s (creator %d)", step.NS.Name(), step.Creator)
		}
	}
	return s
}

func (w *world) member(a *agent.Agent, x *target) bool {
	task, err := w.proc.Task(a.PID())
	if err != nil {
		w.t.Fatal(err)
	}
	defer task.Close()
	ref, err := task.Ref(linkOf(x.ref.Type))
	return err == nil && ref == x.ref
}

// join has a task do what the answer says it may, or may not, and what it can do
// then.
func (w *world) join(n *tally, a *agent.Agent, x *target, who *Actor) bool {
	w.t.Helper()
	want := refusal(who)
	got := w.may(a, "setns", unix.SYS_SETNS, agent.Int(x.fd), agent.Int(uint32(x.ref.Type)))
	n.count(got == 0)
	if got != want {
		w.t.Errorf("setns: %v, want %v: %s", got, want, w.told(who))
	}
	if got == 0 {
		n.joined++
		w.within(n, a, x, who)
		return true
	}
	w.joinVia(n, a, x, who)
	return false
}

// refusal is the error that the kernel has for what is missing, in the order in
// which it looks.
func refusal(who *Actor) unix.Errno {
	var errno unix.Errno
	for _, l := range who.Join.Missing {
		switch l.Kind {
		case topology.LackOther: // asked first
			return unix.EINVAL
		case topology.LackCap:
			errno = unix.EPERM
		default:
			if errno == 0 {
				errno = unix.EINVAL
			}
		}
	}
	return errno
}

// joinVia joins the owner first.
func (w *world) joinVia(n *tally, a *agent.Agent, x *target, who *Actor) {
	w.t.Helper()
	if x.ref.Type == nsfs.User {
		n.shut++
		return
	}
	var owner *target
	if up := who.Target.Owner; up != nil {
		owner = w.byIno[up.Ino]
	}
	if owner == nil { // nobody is in it, or it is out of sight
		n.shut++
		return
	}
	child := w.copyOf(a)
	defer func() { _ = child.Exit(w.t.Context()) }()
	first := w.may(child, "setns owner", unix.SYS_SETNS, agent.Int(owner.fd), agent.Int(unix.CLONE_NEWUSER))
	then := w.may(child, "setns", unix.SYS_SETNS, agent.Int(x.fd), agent.Int(uint32(x.ref.Type)))
	ok := first == 0 && then == 0
	n.count(ok)
	if ok {
		n.via++
	} else {
		n.shut++
	}
	if ok != (who.Join.Via != nil) {
		w.t.Errorf("by way of the owner: %v, then %v: %s", first, then, w.told(who))
	}
}

func (n *tally) count(allowed bool) {
	if allowed {
		n.allowed++
	} else {
		n.refused++
	}
}

// expect compares what the kernel says to an operation that takes one of caps.
func (w *world) expect(n *tally, what string, who *Actor, caps topology.CapSet, got, refused unix.Errno) {
	w.t.Helper()
	w.check(n, what, who, who.Held&caps != 0, got, refused)
}

func (w *world) check(n *tally, what string, who *Actor, want bool, got, refused unix.Errno) {
	w.t.Helper()
	n.count(got != refused)
	if want != (got != refused) {
		w.t.Errorf("%s: %v: %s", what, got, w.told(who))
	}
}

// fromAfar does what is done through a descriptor, or to a task.
func (w *world) fromAfar(n *tally, a *agent.Agent, x *target, who *Actor) {
	switch {
	case x.socket != 0:
		w.socket(n, a, x, who)
	case x.mntID != 0:
		// listmount(2) of another mount namespace: struct mnt_id_req, LSMT_ROOT.
		req := binary.NativeEndian.AppendUint32(nil, 32)
		req = binary.NativeEndian.AppendUint32(req, 0)
		req = binary.NativeEndian.AppendUint64(req, 1<<64-1)
		req = binary.NativeEndian.AppendUint64(req, 0)
		req = binary.NativeEndian.AppendUint64(req, x.mntID)
		if !w.member(a, x) { // of its own, it is asked for other things
			got := w.may(a, "listmount", unix.SYS_LISTMOUNT, agent.Bytes(req), agent.Out(agent.NewBuffer(64)), agent.Int(8), agent.Int(0))
			w.expect(n, "listmount", who, topology.CapSetOf(unix.CAP_SYS_ADMIN), got, unix.ENOENT)
		}
	case x.victim != nil:
		w.victim(n, a, x, who)
		if x.bare {
			w.mapNothing(n, a, x, who)
		}
	}
}

// socket uses a socket of the net namespace: what takes a capability looks at the
// owner of that, and not of the caller's own.
func (w *world) socket(n *tally, a *agent.Agent, x *target, who *Actor) {
	var p agent.Program
	ns := p.Call("SIOCGSKNS", unix.SYS_IOCTL, agent.Int(x.socket), agent.Int(unix.SIOCGSKNS), agent.Int(0)).MayFail()
	p.Call("close", unix.SYS_CLOSE, ns.Ret()).MayFail()
	if err := a.Run(w.t.Context(), &p); err != nil {
		w.t.Fatal(err)
	}
	w.expect(n, "SIOCGSKNS", who, topology.CapSetOf(unix.CAP_NET_ADMIN), errnoOf(ns.Err()), unix.EPERM)
	got := w.may(a, "SO_MARK", unix.SYS_SETSOCKOPT, agent.Int(x.socket), agent.Int(unix.SOL_SOCKET), agent.Int(unix.SO_MARK), agent.Bytes(make([]byte, 4)), agent.Int(4))
	w.expect(n, "SO_MARK", who, topology.CapSetOf(unix.CAP_NET_ADMIN, unix.CAP_NET_RAW), got, unix.EPERM)
	// It is bound already, which is found out only after the port was looked at.
	got = w.may(a, "bind", unix.SYS_BIND, agent.Int(x.socket), agent.Bytes(inetAddr(80)), agent.Int(16))
	w.expect(n, "bind to port 80", who, topology.CapSetOf(unix.CAP_NET_BIND_SERVICE), got, unix.EACCES)
}

// victim looks at a task in the user namespace and sends it nothing.
func (w *world) victim(n *tally, a *agent.Agent, x *target, who *Actor) {
	var me, other nsfs.Credentials
	for pid, c := range map[int]*nsfs.Credentials{a.PID(): &me, x.victim.PID(): &other} {
		task, err := w.proc.Task(pid)
		if err == nil {
			err = task.Credentials(c)
			task.Close()
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
	// ptrace_may_access and cap_ptrace_access_check, with PTRACE_MODE_READ_FSCREDS.
	same := me.UID[3] == other.UID[0] && me.UID[3] == other.UID[1] && me.UID[3] == other.UID[2] &&
		me.GID[3] == other.GID[0] && me.GID[3] == other.GID[1] && me.GID[3] == other.GID[2]
	own := who.Rule == topology.CapOwn && who.User == who.Target && same && other.Permitted&^me.Effective == 0
	path := fmt.Sprintf("%d/ns/uts", x.victim.PID())
	got := w.may(a, "readlink "+path, unix.SYS_READLINKAT, agent.Int(agent.ProcFD), agent.String(path), agent.Out(agent.NewBuffer(64)), agent.Int(64))
	w.check(n, "look at a task in it", who, own || who.Held.Has(unix.CAP_SYS_PTRACE), got, unix.EACCES)

	// kill_ok_by_cred and kill_permission, kernel/signal.c.
	kill := me.UID[1] == other.UID[2] || me.UID[1] == other.UID[0] || me.UID[0] == other.UID[2] || me.UID[0] == other.UID[0] || who.Held.Has(unix.CAP_KILL)
	pidfd := call(w.t, w.root, "pidfd_open", unix.SYS_PIDFD_OPEN, agent.Int(x.victim.PID()), agent.Int(0))
	got = w.may(a, "signal", unix.SYS_PIDFD_SEND_SIGNAL, agent.Int(pidfd), agent.Int(0), agent.Int(0), agent.Int(0))
	call(w.t, w.root, "close", unix.SYS_CLOSE, agent.Int(pidfd))
	if got != unix.EINVAL { // not in the caller's pid namespace
		w.check(n, "signal a task in it", who, kill, got, unix.EPERM)
	}
}

// mapNothing writes nonsense to the id map of a user namespace, which is found out
// after it was asked who writes (proc_uid_map_write and map_write,
// kernel/user_namespace.c): one in it or in its parent, who holds CAP_SYS_ADMIN.
func (w *world) mapNothing(n *tally, a *agent.Agent, x *target, who *Actor) {
	w.dumpable(a)
	path := fmt.Sprintf("%d/uid_map", x.victim.PID())
	var p agent.Program
	fd := p.Call("open "+path, unix.SYS_OPENAT, agent.Int(agent.ProcFD), agent.String(path), agent.Int(unix.O_WRONLY|unix.O_CLOEXEC))
	write := p.Call("write", unix.SYS_WRITE, fd.Ret(), agent.String("x"), agent.Int(1)).MayFail()
	p.Call("close", unix.SYS_CLOSE, fd.Ret())
	if err := a.Run(w.t.Context(), &p); err != nil {
		return // the file is another user's
	}
	near := who.User == who.Target || who.User == who.Target.Parent
	w.check(n, "write an id map", who, near && who.Held.Has(unix.CAP_SYS_ADMIN), errnoOf(write.Err()), unix.EPERM)
}

// within does what only members do. After setns(2) into another namespace than a
// user namespace, a task holds what it held.
func (w *world) within(n *tally, a *agent.Agent, x *target, who *Actor) {
	switch x.ref.Type {
	case nsfs.UTS: // too long a name, which is found out later
		got := w.may(a, "sethostname", unix.SYS_SETHOSTNAME, agent.String("x"), agent.Int(1000))
		w.expect(n, "sethostname", who, topology.CapSetOf(unix.CAP_SYS_ADMIN), got, unix.EPERM)
	case nsfs.Mnt: // to bind nothing, which is found out later
		got := w.may(a, "mount", unix.SYS_MOUNT, agent.String(""), agent.String("/"), agent.Int(0), agent.Int(unix.MS_BIND), agent.Int(0))
		w.expect(n, "mount", who, topology.CapSetOf(unix.CAP_SYS_ADMIN), got, unix.EPERM)
	case nsfs.IPC:
		if x.key != 0 {
			got := w.may(a, "msgget", unix.SYS_MSGGET, agent.Int(x.key), agent.Int(0o600))
			w.expect(n, "open a message queue", who, topology.CapSetOf(unix.CAP_IPC_OWNER), got, unix.EACCES)
		}
	case nsfs.PID: // a second init, which is found out later
		w.secondInit(n, a, who)
	case nsfs.Time: // after a task has entered it, which is found out later
		w.setClock(n, a, who)
	}
}

// secondInit asks for pid 1, which is taken (alloc_pid, kernel/pid.c).
func (w *world) secondInit(n *tally, a *agent.Agent, who *Actor) {
	if task, err := w.proc.Task(a.PID()); err == nil {
		children, err := task.Ref(nsfs.PIDForChildren)
		task.Close()
		if err != nil || children.Ino != who.Target.Ino {
			return // its children are elsewhere
		}
	}
	_, err := a.Fork(w.t.Context(), "pid 1 again", agent.ForkOptions{SetTID: []int{1}})
	if err == nil {
		w.t.Fatal("there are two of pid 1")
	}
	w.expect(n, "choose a pid", who, topology.CapSetOf(unix.CAP_SYS_ADMIN, unix.CAP_CHECKPOINT_RESTORE), errnoOf(err), unix.EPERM)
}

func (w *world) setClock(n *tally, a *agent.Agent, who *Actor) {
	if task, err := w.proc.Task(a.PID()); err == nil {
		children, err := task.Ref(nsfs.TimeForChildren)
		task.Close()
		if err != nil || children.Ino != who.Target.Ino {
			return // its children are elsewhere
		}
	}
	w.dumpable(a)
	const text = "monotonic 0 0\n"
	var p agent.Program
	fd := p.Call("open", unix.SYS_OPENAT, agent.Int(agent.ProcFD), agent.String("self/timens_offsets"), agent.Int(unix.O_WRONLY|unix.O_CLOEXEC))
	set := p.Call("write", unix.SYS_WRITE, fd.Ret(), agent.String(text), agent.Int(len(text))).MayFail()
	p.Call("close", unix.SYS_CLOSE, fd.Ret())
	if err := a.Run(w.t.Context(), &p); err != nil {
		w.t.Fatal(err)
	}
	w.expect(n, "set a clock", who, topology.CapSetOf(unix.CAP_SYS_TIME), errnoOf(set.Err()), unix.EPERM)
}
