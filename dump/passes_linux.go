package dump

import (
	"fmt"
	"strconv"
)

// looksMax bounds how often the sources are asked on a host that does not hold
// still.
const looksMax = 12

// lookUntilStable asks every source, and again for what came or changed
// meanwhile, until one look finds that no task had ended before it was read and
// that each namespace is still the one it was. Then nothing is missed that was
// there all the time: a task that is gone may have passed its namespaces on to a
// child that nobody had seen yet, and all are there, or were read.
//
// (Of two tasks that both live on, the one that is read later can hand a namespace
// to the one that was read before. What listns(2) lists is safe from that too.)
func (d *dumper) lookUntilStable(scan func(*dumper) error) error {
	var stale []int
	for d.look = 1; d.look <= looksMax; d.look++ {
		if err := d.ctx.Err(); err != nil {
			return fmt.Errorf("dump: %w", err)
		}
		d.lostTasks = 0
		for _, step := range []func() error{func() error { return scan(d) }, d.scanMounts, d.scanListed} {
			if err := step(); err != nil {
				return err
			}
		}
		if stale = d.recheck(); d.look > 1 && d.lostTasks == 0 && len(stale) == 0 {
			return nil
		}
	}
	for _, pid := range stale {
		d.miss.add("pid "+strconv.Itoa(pid), "its namespaces changed each time it was read")
	}
	if d.lostTasks > 0 {
		d.miss.add("/proc", "tasks ended before they were read, up to the last look: to whom they left their namespaces is not known")
	}
	return nil
}

// readFresh reads those of the tasks shown that were not read yet. The dump's own
// agents are none.
func (d *dumper) readFresh(pids []int) error {
	var fresh []int
	read := make(map[int]bool, len(pids))
	for _, pid := range pids {
		if !d.read[pid] {
			if d.inner != nil && d.inner.crew.Has(pid) {
				continue
			}
			fresh = append(fresh, pid)
		}
		read[pid] = true
	}
	d.read = read // without those that are gone, whose numbers are free
	return d.readTasks(fresh)
}
