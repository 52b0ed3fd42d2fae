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
func (v *inside) bornOrNot(nodes []*node) error {
	for _, n := range nodes {
		err := v.born(n)
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

func (v *inside) born(n *node) error {
	a, err := v.enter(n.owner, false)
	if err != nil {
		return err
	}
	err = v.join(a, n)
	if err == nil {
		var child *agent.Agent
		child, err = a.Fork(v.d.ctx, "fork into "+n.ref.String(), agent.ForkOptions{SetTID: []int{2}})
		if err == nil {
			err = child.Exit(v.d.ctx)
		}
	}
	if e := a.Exit(v.d.ctx); e != nil {
		return &lostError{e}
	}
	return err
}
