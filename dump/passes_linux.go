package dump

import (
	"slices"
	"strconv"
	"time"
)

// How often the sources are asked on a host that does not hold still, at each look
// the one that changes fastest: which tasks there are; and how long, beside the
// time of the first look and as many times that.
const (
	looksMax  = 12
	tasksMax  = 32
	looksLong = time.Second
	looksAs   = 4
)

// lookUntilStable asks every source, and again for what came or changed
// meanwhile, until one look finds that no task had ended before it was read and
// that each namespace is still the one it was. Then nothing is missed that was
// there all the time: a task that is gone may have passed its namespaces on to a
// child that nobody had seen yet, and all are there, or were read.
//
// (Of two tasks that both live on, the one that is read later can hand a namespace
// to the one that was read before. What listns(2) lists is safe from that too.)
//
// Of a tree that stands still, the first such look is the one.
func (d *dumper) lookUntilStable(scan func(*dumper) error) error {
	var stale []int
	var lost bool
	start := time.Now()
	var until time.Time
	for d.look = 1; d.look <= looksMax && (d.look <= 2 || time.Now().Before(until)); d.look++ {
		if err := d.ended(); err != nil {
			return err
		}
		for _, step := range []func() error{func() error { return d.lookAtTasks(scan) }, d.scanMounts, d.scanListed} {
			if err := step(); err != nil {
				return err
			}
		}
		if d.look == 1 {
			until = time.Now().Add(looksLong + looksAs*time.Since(start))
		}
		var unsure bool
		stale, unsure = d.recheck()
		if lost = d.lostTasks > 0 || unsure; (d.look > 1 || d.opts.Still) && !lost && len(stale) == 0 {
			return nil
		}
	}
	for _, pid := range stale {
		d.miss.add("pid "+strconv.Itoa(pid), "its namespaces changed each time it was read")
	}
	if lost {
		d.miss.add("/proc", "tasks ended before they were read, up to the last look: to whom they left their namespaces is not known")
	}
	return nil
}

// lookAtTasks has every task read that was not yet, until none has ended before
// that.
func (d *dumper) lookAtTasks(scan func(*dumper) error) error {
	for range tasksMax {
		d.lostTasks = 0
		err := scan(d)
		d.sure = true // from now on, where few are left
		if err != nil || d.lostTasks == 0 {
			return err
		}
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
	d.read = read         // without those that are gone, whose numbers are free
	slices.Reverse(fresh) // the youngest first: many do not get old
	return d.readTasks(fresh)
}
