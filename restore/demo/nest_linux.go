package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// place is a process of the nest: the namespaces it is born into, and the
// processes below it.
type place struct {
	name     string
	born     uint64
	later    bool // its children live an hour later
	leaves   bool // it ends when its children stand
	children []place
}

const container = unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWUTS

// top is the nest: containers five deep and side by side, and one user
// namespace that no process is in any more, that of the cask.
func top() place {
	return place{
		name: "ship", born: container | unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET,
		children: []place{
			{
				name: "deck", born: container | unix.CLONE_NEWCGROUP, later: true,
				children: []place{{
					name: "cabin", born: container | unix.CLONE_NEWIPC,
					children: []place{
						{name: "chest", born: container | unix.CLONE_NEWNET, children: []place{{name: "drawer", born: container}}},
						{name: "berth", born: unix.CLONE_NEWPID | unix.CLONE_NEWUTS},
					},
				}},
			},
			{name: "hold", born: container, children: []place{
				{name: "cask", born: unix.CLONE_NEWUSER, leaves: true, children: []place{
					{name: "lid", born: unix.CLONE_NEWUSER | unix.CLONE_NEWUTS},
				}},
			}},
		},
	}
}

// Nest is a nest that stands.
type Nest struct {
	crew *agent.Crew
	proc *nsfs.Proc
	pid  int
}

// PID returns the outermost process, an ancestor of all others.
func (n *Nest) PID() int { return n.pid }

// Start builds the nest and returns when all of it stands. As root its outermost
// user namespace maps 65536 ids from 100000; an ordinary user maps the one they
// have, and so does root where there are no such ids.
func Start(ctx context.Context) (*Nest, error) {
	proc, err := nsfs.OpenProc()
	if err != nil {
		return nil, err
	}
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, errors.Join(err, proc.Close())
	}
	defer dir.Close()
	n := &Nest{proc: proc}
	if n.crew, err = agent.Start(ctx, agent.Options{Proc: dir, Name: "renest: demo"}); err != nil {
		return nil, errors.Join(err, proc.Close())
	}
	outer := ids{uid: 100000, gid: 100000, count: 65536}
	if os.Geteuid() != 0 || !given("uid_map", outer) || !given("gid_map", outer) {
		outer = ids{uid: os.Geteuid(), gid: os.Getegid(), count: 1}
	}
	a, err := n.build(ctx, n.crew.Root(), top(), outer)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("build a nest of namespaces (are user namespaces allowed? not in a chroot, nor to root without CAP_SETUID, CAP_SETGID and CAP_SETFCAP; see kernel.unprivileged_userns_clone, user.max_user_namespaces): %w", err), n.Close())
	}
	n.pid = a.PID()
	return n, nil
}

// Close destroys the nest, and waits until nothing of it is left.
func (n *Nest) Close() error {
	return errors.Join(n.crew.Close(), n.proc.Close())
}

// ids are what a user namespace maps its first ids to.
type ids struct{ uid, gid, count int }

// given reports whether our own user namespace has some ids, by its map.
func given(file string, m ids) bool {
	text, err := os.ReadFile("/proc/self/" + file)
	if err != nil {
		return false
	}
	list, err := topology.ParseIDMap(string(text))
	return err == nil && slices.ContainsFunc(list, func(e topology.Extent) bool {
		return int(e.Inside) <= m.uid && m.uid+m.count <= int(e.Inside)+int(e.Count)
	})
}

// part returns the i-th quarter of count ids, or the one there is.
func part(count, i int) ids {
	if count < 4 {
		return ids{count: 1}
	}
	return ids{uid: i * count / 4, gid: i * count / 4, count: count / 4}
}

// build makes a place, as a child of by, and all below it.
func (n *Nest) build(ctx context.Context, by *agent.Agent, p place, m ids) (*agent.Agent, error) {
	a, err := by.Fork(ctx, "create "+p.name, agent.ForkOptions{Flags: p.born})
	if err != nil {
		return nil, err
	}
	if p.born&unix.CLONE_NEWUSER != 0 {
		var maps agent.Program
		if m.count == 1 {
			write(&maps, a, "setgroups", "deny")
		}
		write(&maps, a, "uid_map", fmt.Sprintf("0 %d %d", m.uid, m.count))
		write(&maps, a, "gid_map", fmt.Sprintf("0 %d %d", m.gid, m.count))
		if err := by.Run(ctx, &maps); err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
	}
	if err := a.Run(ctx, settle(n.proc, a, p)); err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	for i, c := range p.children {
		if _, err := n.build(ctx, a, c, part(m.count, i)); err != nil {
			return nil, err
		}
	}
	if p.leaves {
		return nil, a.Exit(ctx)
	}
	return a, nil
}

// settle is what the process of a place does first.
func settle(proc *nsfs.Proc, a *agent.Agent, p place) *agent.Program {
	var s agent.Program
	if p.born&unix.CLONE_NEWUSER != 0 {
		s.Call("setresgid", unix.SYS_SETRESGID, agent.Int(0), agent.Int(0), agent.Int(0))
		s.Call("setresuid", unix.SYS_SETRESUID, agent.Int(0), agent.Int(0), agent.Int(0))
		s.Expose()
	}
	s.Call("prctl PR_SET_NAME", unix.SYS_PRCTL, agent.Int(unix.PR_SET_NAME), agent.String(p.name))
	if p.born&unix.CLONE_NEWUTS != 0 {
		s.Call("sethostname", unix.SYS_SETHOSTNAME, agent.String(p.name), agent.Int(len(p.name)))
		s.Call("setdomainname", unix.SYS_SETDOMAINNAME, agent.String("nest"), agent.Int(len("nest")))
	}
	if p.later && nsfs.HaveTime(proc) == nil {
		s.Call("unshare time", unix.SYS_UNSHARE, agent.Int(unix.CLONE_NEWTIME))
		write(&s, a, "timens_offsets", "monotonic 3600 0\nboottime 3600 0\n")
	}
	return &s
}

// write adds the writing of a file in an agent's directory of procfs.
func write(s *agent.Program, a *agent.Agent, name, content string) {
	fd := s.Call("open "+name, unix.SYS_OPENAT, agent.Int(a.Dir()), agent.String(name), agent.Int(unix.O_WRONLY|unix.O_CLOEXEC))
	s.Call("write "+name, unix.SYS_WRITE, fd.Ret(), agent.String(content), agent.Int(len(content)))
	s.Call("close "+name, unix.SYS_CLOSE, fd.Ret())
}
