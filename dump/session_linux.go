package dump

import (
	"slices"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// SessionsOutside returns the processes of a tree whose session was begun outside of their
// pid namespace, as that of a container is which nobody led into one of its own (setsid(2)).
// It asks /proc/PID/status of each; those that have ended, or are hidden, are left out.
func SessionsOutside(g *topology.Graph) ([]*topology.Task, error) {
	p, err := nsfs.OpenProc()
	if err != nil {
		return nil, err
	}
	defer p.Close()
	var outside []*topology.Task
	var s nsfs.Status
	for _, t := range g.Tasks {
		if t.TID != t.PID {
			continue
		}
		task, err := p.Task(t.PID)
		if err != nil {
			continue
		}
		err = task.Status(&s)
		task.Close()
		if err == nil && slices.Equal(s.NSPID, t.NSPID) && !s.Zombie() && s.Session == 0 {
			outside = append(outside, t)
		}
	}
	return outside, nil
}
