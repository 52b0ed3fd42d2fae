package dump

import (
	"errors"
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
		return d.readInside(&asked{idle: d.idle()})
	}
	// Of what the agents are asked only the holes depend on it.
	a, busy := d.asked(), 0
	if !a.empty() {
		busy = 1
	}
	byTask := make(chan error, 1)
	go func() { byTask <- errors.Join(d.usersByTask(busy), d.holesBeside()) }()
	err := d.readInside(a)
	if err = errors.Join(err, <-byTask); err != nil {
		return err
	}
	if err := d.readInside(&asked{holes: d.holes()}); err != nil {
		return err
	}
	d.userStates()
	return nil
}

// holesBeside reads many holes by agents of their own, which others do not wait for.
func (d *dumper) holesBeside() error {
	holes := d.holes()
	if len(holes) < besideFrom {
		return nil
	}
	v, err := d.startInside()
	if err != nil {
		return nil //nolint:nilerr // those that come after it try, and say why
	}
	return errors.Join(v.userHoles(holes), v.close())
}

// holes are the user namespaces whose maps no task has shown.
func (d *dumper) holes() []*node {
	var holes []*node
	for _, n := range d.nodes {
		if n.ref.Type == nsfs.User && n != d.own[nsfs.InUser] && n.maps == nil {
			holes = append(holes, n)
		}
	}
	return holes
}

// asked is what only agents can read.
type asked struct {
	holes  []*node // user namespaces without a task, for their maps
	idle   []*node // pid namespaces without an init, for whether they had one
	users  []*node // for their limits
	pids   []*node // for pid_max and last pid
	nets   bool    // among the visits is a net namespace
	visits []visit
}

func (a *asked) empty() bool {
	return len(a.visits)+len(a.holes)+len(a.idle)+len(a.users)+len(a.pids) == 0
}

// asked finds out what is to be read, once /proc has shown what it does.
func (d *dumper) asked() *asked {
	a := &asked{idle: d.idle()}
	for _, n := range d.nodes {
		switch {
		case n.external:
		case n.ref.Type == nsfs.UTS:
			a.visits = append(a.visits, d.utsVisit(n))
		case n.ref.Type == nsfs.Time && !d.timeByTask(n):
			a.visits = append(a.visits, d.timeVisit(n))
		case n.ref.Type == nsfs.Cgroup:
			a.visits = append(a.visits, d.cgroupVisit(n))
		}
		if !n.external && !d.opts.NoSysctls {
			a.settings(d, n)
		}
	}
	return a
}

// idle are the pid namespaces without an init of which it is not known whether they
// had one. A parent of others had: it takes an init to make them.
func (d *dumper) idle() (list []*node) {
	parents := map[*node]bool{}
	for _, n := range d.nodes {
		if n.ref.Type == nsfs.PID && n.parent != nil {
			parents[n.parent] = true
		}
	}
	for _, n := range d.nodes {
		if n.ref.Type == nsfs.PID && !n.external && n.noInit && !n.unborn && !parents[n] {
			list = append(list, n)
		}
	}
	return list
}

// settings adds the settings of n.
func (a *asked) settings(d *dumper, n *node) {
	switch n.ref.Type {
	case nsfs.User:
		a.users = append(a.users, n)
	case nsfs.PID:
		if n.init != 0 && !n.noInit {
			a.pids = append(a.pids, n)
		}
	case nsfs.IPC:
		a.visits = append(a.visits, d.ipcVisit(n))
	case nsfs.Net:
		a.visits, a.nets = append(a.visits, d.netVisit(n)), true
	}
}

// readInside asks agents for what /proc does not show.
func (d *dumper) readInside(a *asked) error {
	if a.empty() {
		return nil
	}
	v, err := d.agents()
	if err != nil {
		if d.ctx.Err() != nil {
			return fmt.Errorf("dump: %w", err)
		}
		d.miss.add("what only an agent reads", err.Error())
		return nil
	}
	first, second := a.halves()
	wait := d.beside(v, first, nativeTID)
	waitToo := d.beside(v, second, nativeTID/2)
	err = v.read(a)
	if err = errors.Join(err, wait(), waitToo()); err != nil {
		return fmt.Errorf("dump: %w", err)
	}
	return nil
}

// half is half of what natives are asked for.
type half struct{ users, pids []*node }

// halves splits what natives are asked for, which takes longer than all else, where
// each half is worth a family of agents. A pid namespace goes with its owner.
func (a *asked) halves() (first, second half) {
	if len(a.users)+len(a.pids) < 2*besideFrom {
		return half{a.users, a.pids}, half{}
	}
	early := map[*node]bool{}
	n := len(a.users) / 2
	first.users, second.users = a.users[:n], a.users[n:]
	for _, n := range first.users {
		early[n] = true
	}
	for _, n := range a.pids {
		if early[n.owner] {
			first.pids = append(first.pids, n)
		} else {
			second.pids = append(second.pids, n)
		}
	}
	return first, second
}

// read reads all but what natives do.
func (v *inside) read(a *asked) error {
	for _, step := range []func() error{
		func() error { return v.userHoles(a.holes) },
		func() error { return v.bornOrNot(a.idle) },
		func() error {
			if !a.nets || v.d.freshAsked {
				return nil
			}
			return v.freshNet()
		},
		func() error { return v.visitAll(a.visits) },
		v.lostCgroups,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// besideFrom is how many namespaces are worth another family of agents.
const besideFrom = 50

// beside has agents of their own see to many natives at the same time, and with few
// has v do it in the end. Either is awaited by the function that it returns. Where
// two do it at the same time, each has other numbers to begin with.
func (d *dumper) beside(v *inside, h half, tid int) (wait func() error) {
	inTheEnd := func() error { return v.natives(h.users, h.pids) }
	if len(h.users)+len(h.pids) < besideFrom {
		return inTheEnd
	}
	w, err := d.startInside()
	if err != nil {
		return inTheEnd
	}
	w.tid = tid
	done := make(chan error, 1)
	go func() { done <- errors.Join(w.natives(h.users, h.pids), w.close()) }()
	return func() error { return <-done }
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
