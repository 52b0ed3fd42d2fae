package criu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
// the caller's own, to give that the number it had.
func (l *layerRun) counters() error {
	if !l.layer.init() {
		return nil // CRIU itself sees to the numbers in its own pid namespace
	}
	var spaces []*topology.Namespace // the outermost first
	for n := l.layer.space(); n != nil && !n.External; n = n.Parent {
		spaces = append([]*topology.Namespace{n}, spaces...)
	}
	numbers := l.layer.root.NSPID // that in its own is the last
	first := len(numbers) - 1 - len(spaces)
	for i, n := range spaces {
		if first+i < 0 || numbers[first+i] < 2 {
			continue
		}
		a, err := l.bornIn(n)
		if err != nil {
			return err
		}
		var p agent.Program
		setLast(&p, n, outOfTheWay(numbers[first+i]))
		// The first one may have the very number that is wanted.
		later := p.Fork(l.crew, "fork in "+n.Name(), agent.ForkOptions{})
		if err := a.Run(l.ctx, &p); err != nil {
			return err
		}
		if err := errors.Join(later.Wait(l.ctx), a.Exit(l.ctx), a.Gone(l.ctx)); err != nil {
			return err
		}
		l.helpers = append(l.helpers, later.PID())
		l.numbers = append(l.numbers, &counter{space: n, agent: later, next: numbers[first+i]})
	}
	return nil
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
	guide, err := l.crew.Root().Fork(l.ctx, "fork", agent.ForkOptions{})
	if err != nil {
		return nil, err
	}
	if n.External {
		return guide, nil
	}
	var p agent.Program
	p.Call("enter "+n.Name(), unix.SYS_SETNS, agent.Int(l.fds[n]), agent.Int(unix.CLONE_NEWPID))
	if err := guide.Run(l.ctx, &p); err != nil {
		return nil, err
	}
	a, err := guide.Fork(l.ctx, "fork in "+n.Name(), agent.ForkOptions{})
	if err != nil {
		return nil, err
	}
	l.helpers = append(l.helpers, a.PID())
	return a, guide.Exit(l.ctx)
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
