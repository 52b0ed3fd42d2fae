package dump

import (
	"errors"
	"fmt"

	"github.com/renest/renest/nsfs"
)

// settle decides which namespaces the dump holds, once all sources were asked:
// those that a task, a descriptor, a mount or a list leads to, with all their
// owners and parents. It notes the edges that lead out of sight.
func (d *dumper) settle() error {
	if err := d.ownBinds(); err != nil {
		return fmt.Errorf("dump: %w", err)
	}
	d.settleUnopened()
	d.settleSockets()
	for _, t := range d.tasks {
		for l, n := range t.nodes {
			if n == nil {
				continue
			}
			d.keep(n)
			d.remember(t, nsfs.Link(l), n)
		}
	}
	for _, p := range d.pins {
		d.keep(p.node)
		if p.mnt != nil {
			d.keep(p.mnt)
		}
	}
	for _, n := range d.listedNodes {
		d.keep(n)
	}
	for _, n := range d.nodes {
		if n.external && d.root != 0 {
			continue
		}
		if n.owner == nil && n.ref != (nsfs.Ref{Type: nsfs.User, Ino: nsfs.InitUserIno}) {
			d.missEdge(n, "owner", n.ownerErr, "user")
		}
		if n.parent == nil && n.ref.Type == nsfs.PID && n.ref.Ino != nsfs.InitPIDIno {
			d.missEdge(n, "parent", n.parentErr, "pid")
		}
	}
	return nil
}

// missEdge notes that an edge leads to where the caller does not see.
func (d *dumper) missEdge(n *node, edge string, err error, of string) {
	switch {
	case errors.Is(err, nsfs.ErrDenied):
		d.miss.add(n.ref.String(), edge+": permission denied")
	case err == nil, errors.Is(err, nsfs.ErrOutOfSight):
		d.miss.add(n.ref.String(), edge+": outside the caller's own "+of+" namespace")
	default:
		d.miss.add(n.ref.String(), edge+": "+reason(err))
	}
}

// keep takes n and what is above it into the dump.
func (d *dumper) keep(n *node) {
	for n != nil && !n.keep {
		n.keep, n.out = true, d.newNamespace()
		d.nodes = append(d.nodes, n)
		d.keep(n.owner)
		n = n.parent
	}
}

// remember notes through which task the state of n can be read.
func (d *dumper) remember(t *task, l nsfs.Link, n *node) {
	switch {
	case t.zombie:
	case l == nsfs.TimeForChildren && n.time.pid == 0:
		n.time = member{t.pid, t.tid}
	case l < nsfs.PIDForChildren && n.member.pid == 0:
		n.member = member{t.pid, t.tid}
	}
}
