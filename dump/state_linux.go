package dump

import (
	"fmt"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// readState reads what the dump's own namespaces hold: through a task in them
// where /proc shows it, and by an agent that enters them where not. External ones
// are the host's and not asked.
func (d *dumper) readState() error {
	d.setStates()
	if d.opts.NoState {
		return nil
	}
	if err := d.usersByTask(); err != nil {
		return err
	}
	var visits []visit
	var holes, idle []*node
	for _, n := range d.nodes {
		switch {
		case n.ref.Type == nsfs.User && n != d.own[nsfs.InUser] && n.maps == nil:
			holes = append(holes, n)
		case n.external:
		case n.ref.Type == nsfs.UTS:
			visits = append(visits, d.utsVisit(n))
		case n.ref.Type == nsfs.Time && !d.timeByTask(n):
			visits = append(visits, d.timeVisit(n))
		case n.ref.Type == nsfs.Cgroup:
			visits = append(visits, d.cgroupVisit(n))
		case n.ref.Type == nsfs.PID && n.noInit && !n.unborn && !d.hasPIDChild(n):
			idle = append(idle, n)
		}
	}
	if len(visits)+len(holes)+len(idle) > 0 {
		if err := d.readInside(holes, idle, visits); err != nil {
			return err
		}
	}
	d.userStates()
	return nil
}

// readInside asks agents for what /proc does not show.
func (d *dumper) readInside(holes, idle []*node, visits []visit) error {
	v, err := d.agents()
	if err != nil {
		if d.ctx.Err() != nil {
			return fmt.Errorf("dump: %w", err)
		}
		d.miss.add("what only an agent reads", err.Error())
		return nil
	}
	for _, step := range []func() error{
		func() error { return v.userHoles(holes) },
		func() error { return v.bornOrNot(idle) },
		func() error { return v.visitAll(visits) },
		v.lostCgroups,
	} {
		if err := step(); err != nil {
			return fmt.Errorf("dump: %w", err)
		}
	}
	return nil
}

// setStates says how alive each namespace is, as far as that is known without
// entering it.
func (d *dumper) setStates() {
	d.findHidden()
	for _, n := range d.nodes {
		if n.ref.Type != nsfs.PID || n.external {
			continue
		}
		n.out.PID = &topology.PIDState{}
		switch {
		case n.unborn:
			n.out.State = topology.Unborn
		case n.noInit:
			n.out.State = topology.Dead
		default:
			n.out.PID.Init = n.init
		}
	}
}

// hasPIDChild reports whether n is the parent of another, which takes an init.
func (d *dumper) hasPIDChild(n *node) bool {
	for _, c := range d.nodes {
		if c.parent == n {
			return true
		}
	}
	return false
}
