package dump

import (
	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
)

// timeByTask reads the offsets of n through a task whose children will be in it:
// those are what /proc/PID/timens_offsets shows, and not the task's own
// (proc_timens_show_offsets, kernel/time/namespace.c).
func (d *dumper) timeByTask(n *node) bool {
	if n.time.pid == 0 {
		return false
	}
	t, err := d.task(n.time)
	if err != nil {
		return false
	}
	defer t.Close()
	if ref, err := t.Ref(nsfs.TimeForChildren); err != nil || ref != n.ref {
		return false
	}
	b, err := t.ReadFile("timens_offsets")
	if err != nil {
		return false
	}
	n.out.Time, err = parseOffsets(b)
	return err == nil
}

// timeVisit asks for the offsets from inside: setns(2) sets the namespace of the
// children too.
func (d *dumper) timeVisit(n *node) visit {
	var read func() ([]byte, error)
	return visit{
		node: n,
		what: "clock offsets",
		ask:  func(p *agent.Program, _ agent.Arg) { read = readFile(p, "self/timens_offsets", 1) },
		take: func() error {
			b, err := read()
			if err != nil {
				return err
			}
			n.out.Time, err = parseOffsets(b)
			return err
		},
	}
}
