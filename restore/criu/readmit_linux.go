package criu

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/tracee"
	"github.com/renest/renest/topology"
)

// readmit has the tasks above enter the pid namespace of the layer again whose children
// were to be born there (unshare(2) with CLONE_NEWPID).
func (l *layerRun) readmit() error {
	space := l.layer.in(topology.PID)
	for _, up := range l.r.done {
		for _, t := range up.layer.tasks {
			if t.TID != t.PID || t.Namespaces[topology.PIDForChildren] != space || t.Namespaces[topology.InPID] == space {
				continue
			}
			pid, err := l.r.find(t)
			if err != nil {
				return err
			}
			if err := readmit(l.ctx, l.r.proc, pid, l.pid); err != nil {
				return fmt.Errorf("the children of task %d were to be in %s: %w", t.PID, space.Name(), err)
			}
		}
	}
	return nil
}

// readmit has a task have its children in the pid namespace of another.
func readmit(ctx context.Context, proc *nsfs.Proc, pid, init int) error {
	own, err1 := status(proc, pid)
	s, err2 := status(proc, init)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	return tracee.Hold(ctx, pid, func(h *tracee.Held) error { return join(h, s.NSPID[len(own.NSPID)-1], unix.CLONE_NEWPID) })
}
