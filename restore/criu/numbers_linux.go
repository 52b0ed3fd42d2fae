package criu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// counter sets the next pid of a pid namespace, from inside of it.
type counter struct {
	space *topology.Namespace
	agent *agent.Agent
	next  int
}

// set writes the number before the one that is to be given.
func (c *counter) set(ctx context.Context) error {
	var p agent.Program
	setLast(&p, c.space, c.next-1)
	return c.agent.Run(ctx, &p)
}

// setLast adds the choice of the next pid in the agent's pid namespace
// (ns_last_pid, Documentation/admin-guide/sysctl/kernel.rst).
func setLast(p *agent.Program, n *topology.Namespace, last int) {
	what, text := "set ns_last_pid of "+n.Name(), strconv.Itoa(last)
	fd := p.Call(what, unix.SYS_OPENAT, agent.Int(unix.AT_FDCWD), agent.String("/proc/sys/kernel/ns_last_pid"), agent.Int(unix.O_WRONLY|unix.O_CLOEXEC))
	p.Call(what, unix.SYS_WRITE, fd.Ret(), agent.String(text), agent.Int(len(text)))
	p.Call(what, unix.SYS_CLOSE, fd.Ret())
}

// counters leads an agent into each pid namespace above the layer's root that is not
// the caller's own, to give that the number it had. In the caller's own it is kept where
// a restored parent knows it.
func (l *layerRun) counters() error {
	if !l.layer.init() {
		return nil // CRIU itself sees to the numbers in its own pid namespace
	}
	var spaces []*topology.Namespace // the outermost first
	for n := l.layer.space(); n != nil && (!n.External || l.layer.parent != nil); n = n.Parent {
		spaces = append([]*topology.Namespace{n}, spaces...)
		if n.External {
			break
		}
	}
	numbers := l.layer.root.NSPID // that in its own is the last
	first := len(numbers) - 1 - len(spaces)
	for i, n := range spaces {
		if first+i < 0 || numbers[first+i] < 2 {
			continue
		}
		c := &counter{space: n, next: numbers[first+i]}
		var err error
		if n.External {
			c.agent, err = l.crew.Root().Fork(l.ctx, "fork", agent.ForkOptions{})
		} else {
			c.agent, err = l.bornAside(n, c.next)
		}
		if err != nil {
			return err
		}
		l.numbers = append(l.numbers, c)
	}
	return nil
}

// bornAside returns an agent in a pid namespace where a number is to stay free.
func (l *layerRun) bornAside(n *topology.Namespace, wanted int) (*agent.Agent, error) {
	guide, err := l.guideTo(n)
	if err != nil {
		return nil, err
	}
	// The first one born there may have the very number that is wanted.
	var p agent.Program
	setLast(&p, n, outOfTheWay(wanted))
	a, err := l.bornOf(guide, n)
	if err != nil {
		return nil, err
	}
	if err := a.Run(l.ctx, &p); err != nil {
		return nil, err
	}
	if err := errors.Join(a.Exit(l.ctx), a.Gone(l.ctx)); err != nil {
		return nil, err
	}
	return l.bornOf(guide, n)
}

// outOfTheWay returns a number from which on helpers may be numbered, where wanted has
// to stay free.
func outOfTheWay(wanted int) int {
	const far, near = 16 << 10, 1 << 10
	if wanted >= far && wanted < far+near {
		return far - near
	}
	return far
}

// bornIn returns a new agent in a pid namespace, and for the rest where the crew is.
func (l *layerRun) bornIn(n *topology.Namespace) (*agent.Agent, error) {
	guide, err := l.guideTo(n)
	if err != nil {
		return nil, err
	}
	return l.bornOf(guide, n)
}

// guideTo returns an agent whose children are born in a pid namespace.
func (l *layerRun) guideTo(n *topology.Namespace) (*agent.Agent, error) {
	guide, err := l.crew.Root().Fork(l.ctx, "fork", agent.ForkOptions{})
	if err != nil || n.External {
		return guide, err
	}
	var p agent.Program
	p.Call("enter "+n.Name(), unix.SYS_SETNS, agent.Int(l.fds[n]), agent.Int(unix.CLONE_NEWPID))
	return guide, guide.Run(l.ctx, &p)
}

// bornOf forks an agent off a guide. The guide outlives it, and reaps it: the init of
// the pid namespace may be one that CRIU has restored and that does not run yet.
func (l *layerRun) bornOf(guide *agent.Agent, n *topology.Namespace) (*agent.Agent, error) {
	a, err := guide.Fork(l.ctx, "fork in "+n.Name(), agent.ForkOptions{})
	if err == nil {
		l.helpers = append(l.helpers, a.PID())
		l.born = append(l.born, a)
	}
	return a, err
}

// leave ends the agents that are in other pid namespaces, before their guides end.
func (l *layerRun) leave() error {
	var errs []error
	for _, a := range l.born {
		if !slices.ContainsFunc(l.numbers, func(c *counter) bool { return c.agent == a }) && a != l.agent {
			continue // gone already
		}
		ctx := context.WithoutCancel(l.ctx)
		errs = append(errs, a.Exit(ctx), a.Gone(ctx))
	}
	return errors.Join(errs...)
}

// children lists the child processes of a process, by all of its threads.
func children(pid int) []int {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	var pids []int
	for _, path := range lists {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for field := range strings.FieldsSeq(string(text)) {
			if n, err := strconv.Atoi(field); err == nil {
				pids = append(pids, n)
			}
		}
	}
	return pids
}
