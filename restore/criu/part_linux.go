package criu

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	dumpcriu "github.com/renest/renest/dump/criu"
	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/nsfs/tracee"
	"github.com/renest/renest/topology"
)

// apart are the namespaces of processes of the layer that CRIU was shown in those of the
// first one, in the order in which they are to be entered.
func (l *layerRun) apart() (list []*topology.Namespace) {
	for _, typ := range dumpcriu.ApartTypes {
		for _, t := range l.layer.tasks {
			n := t.Namespaces[topology.LinkOf(typ)]
			if t.TID == t.PID && n != nil && !n.External && n != l.layer.in(typ) && !slices.Contains(list, n) {
				list = append(list, n)
			}
		}
	}
	return list
}

// part has them enter their own, before they run: they have the rights of the user
// namespace's root yet.
func (l *layerRun) part() error {
	apart := l.apart()
	if len(apart) == 0 {
		return nil
	}
	guide, err := l.guideBeside()
	if err != nil {
		return err
	}
	for _, n := range apart {
		if n.Type == topology.Time && l.births != nil {
			continue // they were born in it
		}
		if err := l.partInto(guide, n); err != nil {
			return err
		}
	}
	return guide.Exit(l.ctx)
}

// guideBeside returns an agent whose children are born beside the restored tasks.
func (l *layerRun) guideBeside() (*agent.Agent, error) {
	guide, err := l.crew.Root().Fork(l.ctx, "fork", agent.ForkOptions{})
	if err != nil {
		return nil, err
	}
	what := "enter the pid namespace of what was restored"
	var p agent.Program
	fd := p.Call(what, unix.SYS_OPENAT, agent.Int(unix.AT_FDCWD), agent.String(fmt.Sprintf("/proc/%d/ns/pid", l.pid)), agent.Int(unix.O_RDONLY|unix.O_CLOEXEC))
	p.Call(what, unix.SYS_SETNS, fd.Ret(), agent.Int(unix.CLONE_NEWPID))
	p.Call("close", unix.SYS_CLOSE, fd.Ret())
	return guide, guide.Run(l.ctx, &p)
}

// partInto has processes enter a namespace of an agent, who is where they can see
// it and have power over it.
func (l *layerRun) partInto(guide *agent.Agent, n *topology.Namespace) (err error) {
	a, number, err := l.beside(guide, n)
	if err != nil {
		return err
	}
	defer func() {
		ctx := context.WithoutCancel(l.ctx)
		err = errors.Join(err, a.Exit(ctx), a.Gone(ctx))
	}()
	for _, t := range l.layer.tasks {
		if t.TID != t.PID || t.Namespaces[topology.LinkOf(n.Type)] != n {
			continue
		}
		pid, err := l.r.find(t)
		if err != nil {
			return err
		}
		if n.Type == topology.User {
			if err := setGroups(l.ctx, pid, l.layer.record.Groups[t.PID]); err != nil {
				return fmt.Errorf("give task %d its groups: %w", t.PID, err)
			}
		}
		flag := uintptr(nsfs.Link(topology.LinkOf(n.Type)).Type())
		if err := follow(l.ctx, pid, number, flag); errors.Is(err, unix.EUSERS) && l.r.o.Sibling {
			return fmt.Errorf("task %d of several threads is to be in %s: restore it without being its parent (-S): %w", t.PID, n.Name(), err)
		} else if err != nil {
			return fmt.Errorf("lead task %d into %s: %w", t.PID, n.Name(), err)
		}
	}
	return nil
}

// beside returns a new agent in a namespace, and its number for who was restored.
func (l *layerRun) beside(guide *agent.Agent, n *topology.Namespace) (*agent.Agent, int, error) {
	a, err := guide.Fork(l.ctx, "fork beside what was restored", agent.ForkOptions{})
	if err != nil {
		return nil, 0, err
	}
	var p agent.Program
	p.Call("enter "+n.Name(), unix.SYS_SETNS, agent.Int(l.fds[n]), agent.Int(0))
	if user := l.layer.in(topology.User); n.Type == topology.User {
		p.Expose()
	} else if !user.External {
		becomeRootOf(&p, user, l.fds[user])
	}
	err = a.Run(l.ctx, &p)
	if err == nil {
		var s nsfs.Status
		if s, err = status(l.r.proc, a.PID()); err == nil {
			return a, s.NSPID[len(s.NSPID)-1], nil
		}
	}
	ctx := context.WithoutCancel(l.ctx)
	return nil, 0, errors.Join(err, a.Exit(ctx), a.Gone(ctx))
}

// setGroups gives a process of one thread supplementary groups, as it numbers them.
func setGroups(ctx context.Context, pid int, groups []uint32) error {
	if len(groups) == 0 {
		return nil // as those are whom CRIU has made
	}
	return tracee.Hold(ctx, pid, func(h *tracee.Held) error {
		at, err := h.Place(4*len(groups), func(uint64) (b []byte) {
			for _, gid := range groups {
				b = binary.NativeEndian.AppendUint32(b, gid)
			}
			return b
		})
		if err == nil {
			_, err = h.Call("setgroups", unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(at))
		}
		return err
	})
}

// follow has all threads of a process enter a namespace of another one.
func follow(ctx context.Context, pid, other int, flag uintptr) error {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return err
	}
	for _, thread := range threads {
		tid, err := strconv.Atoi(thread.Name())
		if err != nil {
			return err
		}
		if err := tracee.Hold(ctx, tid, func(h *tracee.Held) error { return join(h, other, flag) }); err != nil {
			return err
		}
	}
	return nil
}

// join has a thread enter namespaces of a process, by the number that it knows it by.
func join(h *tracee.Held, pid int, flags uintptr) error {
	fd, err := h.Call("pidfd_open", unix.SYS_PIDFD_OPEN, uintptr(pid), 0)
	if err != nil {
		return err
	}
	_, err = h.Call("setns", unix.SYS_SETNS, uintptr(fd), flags)
	_, cerr := h.Call("close", unix.SYS_CLOSE, uintptr(fd))
	return errors.Join(err, cerr)
}
