package criu

import (
	"errors"
	"fmt"

	"github.com/renest/renest/topology"
)

// judgeApart refuses processes of several threads in namespaces of their own that none of
// those can enter again. Time namespaces are entered before there are threads, where CRIU
// stops before it forks: not where it makes no namespace, and may be traced: not where it
// does so itself with a first task that is to have another parent (restore_root_task,
// criu/cr-restore.c).
func (d *dumper) judgeApart(l *Layer) error {
	var errs []error
	for _, t := range l.Apart {
		s, err := d.status(t.PID)
		if err != nil {
			continue // it has ended
		}
		for _, link := range []topology.Link{topology.InUser, topology.InTime} {
			if link == topology.InTime && l.Parent == nil && l.made() {
				continue
			}
			if n := t.Namespaces[link]; n != l.Root.Namespaces[link] && s.Threads > 1 {
				errs = append(errs, fmt.Errorf("%s has %d threads and is in %s without a pid namespace of its own: CRIU says \"Can't dump nested %s namespace for %d\", and only a process of one thread can enter it again (setns(2))", who(t), s.Threads, n.Name(), n.Type, t.PID))
			}
		}
	}
	return errors.Join(errs...)
}

// made reports whether CRIU makes a namespace for the layer's first task.
func (l *Layer) made() bool {
	own := func(t topology.Type) bool { return !l.In(t).External && !l.Joins(l.In(t)) }
	return l.Init() || own(topology.Mnt) || own(topology.Net) || own(topology.IPC)
}
