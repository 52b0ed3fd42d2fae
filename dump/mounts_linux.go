package dump

import (
	"errors"
	"slices"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
)

// scanMounts reads the bind mounts of those mount namespaces that no task has
// shown: there is none in them, or each has another root directory, chroot(2), and
// is shown what is below. An agent enters them.
func (d *dumper) scanMounts() error {
	if d.opts.NoBinds {
		return nil
	}
	d.retryUnopened()
	for {
		todo := d.reg.unreadMounts()
		if d.root != 0 { // see binds
			todo = slices.DeleteFunc(todo, func(n *node) bool { return n.external })
		}
		if len(todo) == 0 {
			return nil
		}
		for _, n := range todo {
			if err := d.scanMount(n); err != nil {
				return err
			}
		}
	}
}

// scanMount reads what it can of one mount namespace, and notes what it cannot.
func (d *dumper) scanMount(n *node) error {
	n.bindsBy = true
	if n.mounts.BindsNone() {
		return nil
	}
	r := &reader{d: d}
	defer func() {
		d.pins = append(d.pins, r.pins...)
		d.unopened = append(d.unopened, r.unopened...)
	}()
	if n.partly.pid != 0 {
		if t, err := d.task(n.partly); err == nil {
			defer t.Close()
			if r.allBinds(t, n) == nil {
				return nil
			}
		}
	}
	err := r.bindsByAgent(n)
	if err == nil || lost(err) {
		return err
	}
	if n.partly.pid == 0 || errors.Is(err, errPartly) {
		d.fault(n.ref.String(), "bind mounts", err)
		return nil
	}
	t, err := d.task(n.partly)
	if err != nil {
		return nil // it is gone, and the namespace with it, or found again at the next look
	}
	defer t.Close()
	if _, err := r.someBinds(t, n); err != nil {
		d.fault(n.ref.String(), "bind mounts", err)
		return nil
	}
	d.miss.add(n.ref.String(), "bind mounts: only those below the root directory of "+taskNumbers(t))
	return nil
}

// bindsByAgent reads them through an agent in n, whose root directory is that of
// the namespace. Mounts that another covers are not shown to it either.
func (r *reader) bindsByAgent(n *node) error {
	v, err := r.d.agents()
	if err != nil {
		return err
	}
	t, err := v.enterMounts(n)
	if err != nil {
		return err
	}
	defer t.Close()
	r.agent = true
	err = r.allBinds(t, n)
	if !errors.Is(err, errPartly) {
		return err
	}
	if _, err := r.someBinds(t, n); err != nil {
		return err
	}
	return errPartly
}

// puppet is an agent that goes from one mount namespace to the next.
type puppet struct {
	*agent.Agent
	owner *node // of the mount namespaces that it may enter; nil is any
	in    *node
}

// enterMounts has an agent enter a mount namespace, and returns the agent as a
// task: it is there until the next call.
func (v *inside) enterMounts(n *node) (nsfs.Task, error) {
	p := &v.puppet
	owner := n.owner
	if v.admin {
		owner = nil
	}
	if p.Agent != nil && p.owner != owner {
		if err := p.Exit(v.d.ctx); err != nil {
			return nsfs.Task{}, &lostError{err}
		}
		*p = puppet{}
	}
	if p.Agent == nil {
		a, err := v.enter(n.owner, true)
		if err != nil {
			return nsfs.Task{}, err
		}
		*p = puppet{Agent: a, owner: owner}
	}
	if p.in != n {
		if err := v.join(p.Agent, n); err != nil {
			return nsfs.Task{}, err
		}
		p.in = n
	}
	return v.d.proc.Task(p.PID())
}

// openBindOf opens the namespace that is mounted at a path in a mount namespace.
func (d *dumper) openBindOf(mnt *node, path string) (*nsfs.NS, error) {
	v, err := d.agents()
	if err != nil {
		return nil, err
	}
	t, err := v.enterMounts(mnt)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	return t.OpenBind(path)
}

// retryUnopened has a mount namespace read again where a bind mount could not be
// opened: it may have been undone just then.
func (d *dumper) retryUnopened() {
	retry := map[*node]bool{}
	for _, u := range d.unopened {
		if d.reg.lookup(u.Ref) == nil && u.mnt.bindsBad == 0 {
			retry[u.mnt] = true
		}
	}
	d.forgetBinds(retry)
	for n := range retry {
		n.bindsBad++
	}
}

// forgetBinds has mount namespaces read again.
func (d *dumper) forgetBinds(mnts map[*node]bool) {
	if len(mnts) == 0 {
		return
	}
	d.pins = slices.DeleteFunc(d.pins, func(p pin) bool { return mnts[p.mnt] })
	d.unopened = slices.DeleteFunc(d.unopened, func(u unopened) bool { return mnts[u.mnt] })
	for n := range mnts {
		n.bindsBy = false
	}
}

// settleUnopened takes a bind mount that could not be opened for the namespace of
// its name, where another way led to that.
func (d *dumper) settleUnopened() {
	for _, u := range d.unopened {
		if n := d.reg.lookup(u.Ref); n != nil {
			d.pins = append(d.pins, bindPin(n, u.mnt, u.Path))
		} else {
			d.miss.add(u.Ref.String(), "bind mount "+u.Path+" in "+u.mnt.ref.String()+" cannot be opened: another mount may cover it")
		}
	}
}
