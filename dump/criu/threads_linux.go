package criu

import (
	"errors"
	"fmt"
	"os"

	"github.com/renest/renest/topology"
)

// judgeThreads refuses processes of several threads in time namespaces of their own: a
// restore cannot have them enter those again (timens_install, kernel/time/namespace.c).
func judgeThreads(l *Layer) error {
	var errs []error
	for _, t := range l.Apart {
		n := t.Namespaces[topology.InTime]
		if n == l.In(topology.Time) {
			continue
		}
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", t.PID))
		if err == nil && len(threads) > 1 { // else it has ended
			errs = append(errs, fmt.Errorf("%s has %d threads and is in %s without a pid namespace of its own: CRIU says \"Can't dump nested time namespace for %d\", and only a process of one thread can be led into it again (setns(2), EUSERS)", who(t), len(threads), n.Name(), t.PID))
		}
	}
	return errors.Join(errs...)
}
