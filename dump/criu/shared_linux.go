package criu

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/topology"
)

// What kcmp(2) compares of two tasks, include/uapi/linux/kcmp.h.
const (
	kcmpFiles = 2
	kcmpFS    = 3
)

// judgeShared refuses processes that share what CRIU cannot have them share again: a root
// and working directory (CLONE_FS) at all (dump_task_kobj_ids, criu/cr-dump.c), descriptors
// (CLONE_FILES) with those of another layer.
func (d *dumper) judgeShared(layers []*Layer) error {
	of := map[*topology.Task]*Layer{}
	var tasks []*topology.Task
	for _, l := range layers {
		for _, t := range l.Tasks {
			if t.TID == t.PID && !isZombie(t) {
				of[t] = l
				tasks = append(tasks, t)
			}
		}
	}
	var errs []error
	for _, pair := range d.sharing(tasks, kcmpFS) {
		errs = append(errs, fmt.Errorf("%s and %s share root and working directory (CLONE_FS): CRIU says \"Can't make FS id\"; start one without", who(pair[0]), who(pair[1])))
	}
	for _, pair := range d.sharing(tasks, kcmpFiles) {
		if of[pair[0]] != of[pair[1]] {
			errs = append(errs, fmt.Errorf("%s and %s share their descriptors (CLONE_FILES), and are in different containers: CRIU takes them one by one, and would give each its own", who(pair[0]), who(pair[1])))
		}
	}
	return errors.Join(errs...)
}

// sharing returns pairs of processes that share something. kcmp(2) has an order, so that
// who shares is found side by side.
func (d *dumper) sharing(tasks []*topology.Task, what int) (pairs [][2]*topology.Task) {
	tasks = slices.Clone(tasks)
	slices.SortStableFunc(tasks, func(a, b *topology.Task) int {
		return [...]int{0, -1, 1, 0}[kcmp(a.PID, b.PID, what)&3]
	})
	lives := func(t *topology.Task) bool {
		s, err := d.status(t.PID)
		return err == nil && !s.Zombie() // of which the kernel finds all alike
	}
	for i := range tasks[min(1, len(tasks)):] {
		if a, b := tasks[i], tasks[i+1]; kcmp(a.PID, b.PID, what) == 0 && lives(a) && lives(b) {
			pairs = append(pairs, [2]*topology.Task{a, b})
		}
	}
	return pairs
}

// kcmp returns 0 where two processes share something, 1 and 2 where one comes before the
// other, and 3 where that is not known.
func kcmp(a, b, what int) int {
	r, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(a), uintptr(b), uintptr(what), 0, 0, 0)
	if errno != 0 {
		return 3
	}
	return int(r)
}
