package dump

import (
	"errors"

	"github.com/renest/renest/nsfs"
)

// askInit asks a pid namespace for its init. That of one above the caller's own
// has no number here, but those are out of sight anyway.
func (d *dumper) askInit(n *node, ns *nsfs.NS) {
	pid, err := ns.InitPID()
	switch {
	case err == nil:
		n.init = pid
	case errors.Is(err, nsfs.ErrGone), errors.Is(err, nsfs.ErrNotSupported) && d.pidt:
		n.noInit = true
	}
}

// readLife finds out which pid namespaces have no living init.
func (d *dumper) readLife() error {
	populated := map[*node]bool{} // without translation (before Linux 6.11) the tasks tell
	for _, t := range d.tasks {
		n := t.nodes[nsfs.InPID]
		if n == nil || n.external || t.tid != t.pid || len(t.nspid) == 0 {
			continue
		}
		populated[n] = true
		if t.nspid[len(t.nspid)-1] == 1 {
			n.init = t.pid
			if t.zombie { // its namespace is over, and waits with it to be reaped
				n.noInit = true
			}
		}
	}
	for _, n := range d.nodes {
		if n.ref.Type == nsfs.PID && !n.external && !d.pidt && !populated[n] {
			n.noInit = true
		}
	}
	return nil
}
