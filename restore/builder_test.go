//go:build linux && (amd64 || arm64)

package restore_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// builder makes the namespaces of a graph as a user of the kernel might, with
// nothing of this package: one after the other, each by a process of its own.
type builder struct {
	t    testing.TB
	rng  *rand.Rand
	crew *agent.Crew
	// users has a process in each user namespace, which is in the caller's
	// namespaces otherwise; inits the first of each pid namespace.
	users map[*topology.Namespace]*agent.Agent
	inits map[*topology.Namespace]*agent.Agent
	other []*agent.Agent // alone in a namespace
	gone  []*agent.Agent // told to end
	// fds are descriptors of what was made, in the order of made.
	fds  map[*topology.Namespace]int
	made []*topology.Namespace
	base *topology.Namespace // the user namespace that comes with all capabilities
}

// build makes g, with the first processes of pid namespaces wherever chance puts
// them.
func build(t testing.TB, rng *rand.Rand, g *topology.Graph) *builder {
	t.Helper()
	proc, err := os.Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	b := &builder{
		t: t, rng: rng,
		users: map[*topology.Namespace]*agent.Agent{},
		inits: map[*topology.Namespace]*agent.Agent{},
		fds:   map[*topology.Namespace]int{},
	}
	if b.crew, err = agent.Start(t.Context(), agent.Options{Proc: proc, Name: "renest: " + t.Name()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.destroy)
	var groups agent.Program
	groups.Call("setgroups", unix.SYS_SETGROUPS, agent.Int(0), agent.Int(0)).MayFail()
	if err := b.crew.Root().Run(t.Context(), &groups); err != nil {
		t.Fatal(err)
	}
	for _, n := range g.Namespaces {
		b.make(n)
	}
	b.leave(g)
	return b
}

// destroy ends the tree. It may be called twice.
func (b *builder) destroy() {
	b.t.Helper()
	if err := b.crew.Close(); err != nil {
		b.t.Error(err)
	}
}

// make makes one namespace.
func (b *builder) make(n *topology.Namespace) {
	b.t.Helper()
	root := b.crew.Root()
	switch {
	case n.External:
		switch n.Type {
		case topology.User:
			b.users[n] = root
			if os.Geteuid() == 0 {
				b.base = n
			}
		case topology.PID:
			b.inits[n] = root
		}
		return
	case n.Type == topology.User:
		b.makeUser(n)
		if b.base == nil {
			b.base = n
		}
		b.open(n, b.users[n], "user")
	case n.Type == topology.PID:
		b.makePID(n)
		b.open(n, b.inits[n], "pid")
	case n.Type == topology.Time:
		a := b.fork(b.users[n.Owner], 0)
		b.call(a, "unshare time", unix.SYS_UNSHARE, agent.Int(unix.CLONE_NEWTIME))
		b.write(a, a, "timens_offsets", fmt.Sprintf("monotonic %d %d\nboottime %d %d\n",
			n.Time.Monotonic.Sec, n.Time.Monotonic.Nsec, n.Time.Boottime.Sec, n.Time.Boottime.Nsec))
		b.open(n, a, "time_for_children")
		b.other = append(b.other, a)
	default:
		a := b.fork(b.users[n.Owner], cloneFlags[n.Type])
		if n.Type == topology.UTS {
			b.call(a, "sethostname", unix.SYS_SETHOSTNAME, agent.String(n.UTS.NodeName), agent.Int(len(n.UTS.NodeName)))
			b.call(a, "setdomainname", unix.SYS_SETDOMAINNAME, agent.String(n.UTS.DomainName), agent.Int(len(n.UTS.DomainName)))
		}
		b.open(n, a, n.Type.String())
		b.other = append(b.other, a)
	}
	b.made = append(b.made, n)
}

var cloneFlags = map[topology.Type]uint64{
	topology.User: unix.CLONE_NEWUSER, topology.PID: unix.CLONE_NEWPID, topology.Mnt: unix.CLONE_NEWNS,
	topology.UTS: unix.CLONE_NEWUTS, topology.IPC: unix.CLONE_NEWIPC, topology.Net: unix.CLONE_NEWNET,
	topology.Cgroup: unix.CLONE_NEWCGROUP,
}

func (b *builder) makeUser(n *topology.Namespace) {
	b.t.Helper()
	creator := b.fork(b.users[n.Parent], 0)
	if !n.Parent.External || os.Geteuid() == 0 {
		gid := uint32(0)
		if !n.Parent.External {
			gid = n.Parent.User.GIDMap[0].Inside
		}
		b.become(creator, n.User.OwnerUID, gid)
	}
	a := b.fork(creator, unix.CLONE_NEWUSER)
	parent := b.users[n.Parent]
	if n.User.Setgroups == "deny" {
		b.write(parent, a, "setgroups", "deny")
	}
	if len(n.User.UIDMap) > 0 {
		b.write(parent, a, "uid_map", topology.FormatIDMap(n.User.UIDMap))
	}
	if len(n.User.GIDMap) > 0 {
		b.write(parent, a, "gid_map", topology.FormatIDMap(n.User.GIDMap))
	}
	if len(n.User.UIDMap) > 0 && len(n.User.GIDMap) > 0 {
		b.become(a, n.User.UIDMap[0].Inside, n.User.GIDMap[0].Inside)
	}
	b.exit(creator)
	b.users[n] = a
}

// makePID has a process go through namespaces that chance picks, into the
// parent, and from there, as the owner wants it, give birth to the first.
func (b *builder) makePID(n *topology.Namespace) {
	b.t.Helper()
	a := b.fork(b.users[b.base], 0)
	for _, at := range b.made {
		if !at.Type.HasParent() && b.rng.IntN(5) == 0 {
			b.join(a, at)
		}
	}
	if !n.Parent.External {
		b.join(a, n.Parent)
		inside := b.fork(a, 0)
		b.exit(a)
		a = inside
	}
	if n.Owner != b.base {
		b.join(a, n.Owner)
		if u := n.Owner.User; len(u.UIDMap) > 0 && len(u.GIDMap) > 0 {
			b.become(a, u.UIDMap[0].Inside, u.GIDMap[0].Inside)
		}
	}
	b.inits[n] = b.fork(a, unix.CLONE_NEWPID)
	b.exit(a)
}

// leave ends the first processes of what is dead, and about half of those that
// are alone in a namespace.
func (b *builder) leave(g *topology.Graph) {
	b.t.Helper()
	for _, a := range b.other {
		if b.rng.IntN(2) == 0 {
			b.exit(a)
		}
	}
	for i := len(g.Namespaces) - 1; i >= 0; i-- {
		if n := g.Namespaces[i]; n.State == topology.Dead {
			b.exit(b.inits[n])
		}
	}
	for _, a := range b.gone {
		if err := a.Gone(b.t.Context()); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *builder) fork(a *agent.Agent, flags uint64) *agent.Agent {
	b.t.Helper()
	child, err := a.Fork(b.t.Context(), "fork", agent.ForkOptions{Flags: flags})
	if err != nil {
		b.t.Fatal(err)
	}
	return child
}

func (b *builder) exit(a *agent.Agent) {
	b.t.Helper()
	if err := a.Exit(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	b.gone = append(b.gone, a)
}

func (b *builder) call(a *agent.Agent, what string, nr uintptr, args ...agent.Arg) int {
	b.t.Helper()
	var p agent.Program
	c := p.Call(what, nr, args...)
	b.run(a, &p)
	return c.Value()
}

func (b *builder) run(a *agent.Agent, p *agent.Program) {
	b.t.Helper()
	if err := a.Run(b.t.Context(), p); err != nil {
		b.t.Fatal(err)
	}
}

// open takes a descriptor of the namespace that a link of the process shows.
func (b *builder) open(n *topology.Namespace, a *agent.Agent, link string) {
	b.t.Helper()
	b.fds[n] = b.call(b.crew.Root(), "open "+n.Name(), unix.SYS_OPENAT, agent.Int(agent.ProcFD),
		agent.String(strconv.Itoa(a.PID())+"/ns/"+link), agent.Int(unix.O_RDONLY|unix.O_CLOEXEC))
}

func (b *builder) join(a *agent.Agent, n *topology.Namespace) {
	b.t.Helper()
	var p agent.Program
	p.Call("enter "+n.Name(), unix.SYS_SETNS, agent.Int(b.fds[n]), agent.Int(0))
	p.Expose()
	b.run(a, &p)
}

// become has a process take ids of its user namespace, and keep what it may do.
func (b *builder) become(a *agent.Agent, uid, gid uint32) {
	b.t.Helper()
	const noSetuidFixup = 1 << 2
	var p agent.Program
	p.Call("prctl", unix.SYS_PRCTL, agent.Int(unix.PR_SET_SECUREBITS), agent.Int(noSetuidFixup))
	p.Call("setresgid", unix.SYS_SETRESGID, agent.Int(gid), agent.Int(gid), agent.Int(gid))
	p.Call("setresuid", unix.SYS_SETRESUID, agent.Int(uid), agent.Int(uid), agent.Int(uid))
	p.Expose()
	b.run(a, &p)
}

// write has a process write to a file in the directory of another.
func (b *builder) write(a, of *agent.Agent, file, text string) {
	b.t.Helper()
	path := strconv.Itoa(of.PID()) + "/" + file
	var p agent.Program
	fd := p.Call("open "+path, unix.SYS_OPENAT, agent.Int(agent.ProcFD), agent.String(path), agent.Int(unix.O_WRONLY|unix.O_CLOEXEC))
	p.Call("write "+path, unix.SYS_WRITE, fd.Ret(), agent.String(text), agent.Int(len(text)))
	p.Call("close", unix.SYS_CLOSE, fd.Ret())
	b.run(a, &p)
}
