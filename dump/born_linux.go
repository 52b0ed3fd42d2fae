package dump

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// bornOrNot tells pid namespaces that had an init from those that are still to
// have one. An agent asks for a child with the number 2: where there was no init
// yet the kernel says EINVAL, where the init has died ENOMEM (alloc_pid,
// kernel/pid.c). Neither makes a process, or changes anything.
func (v *inside) bornOrNot(nodes []*node) (err error) {
	var m midwife
	defer func() { err = errors.Join(err, v.dismiss(&m)) }()
	for _, n := range nodes {
		err := v.born(&m, n)
		switch {
		case err != nil && lost(err):
			return err
		case errors.Is(err, unix.EINVAL):
			n.out.State = topology.Unborn
		case err == nil: // born between two looks, and alive
			n.out.State = topology.Active
		case !errors.Is(err, unix.ENOMEM):
			v.failed(n, "whether it ever had an init", err)
		}
	}
	return nil
}

// midwife is an agent that goes from one pid namespace to the next: its own, from
// which it may, stays what it was, and only that of its children changes.
type midwife struct {
	*agent.Agent
	owner *node // of the pid namespaces that it may enter; as root any
}

// dismiss ends a midwife, if there is one.
func (v *inside) dismiss(m *midwife) error {
	if m.Agent == nil {
		return nil
	}
	a := m.Agent
	m.Agent = nil
	if err := a.Exit(v.d.ctx); err != nil {
		return &lostError{err}
	}
	return nil
}

func (v *inside) born(m *midwife, n *node) error {
	if m.owner != n.owner && !v.admin {
		if err := v.dismiss(m); err != nil {
			return err
		}
	}
	if m.Agent == nil {
		a, err := v.enter(n.owner, false)
		if err != nil {
			return err
		}
		*m = midwife{a, n.owner}
	}
	if err := v.join(m.Agent, n); err != nil {
		return err
	}
	child, err := m.Fork(v.d.ctx, "fork into "+n.ref.String(), agent.ForkOptions{SetTID: []int{2}})
	if err == nil {
		err = child.Exit(v.d.ctx)
	}
	return err
}
