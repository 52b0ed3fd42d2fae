package dump

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

const esrch = unix.ESRCH

// task is what was read of a task, or of a thread whose namespaces differ from
// its leader's.
type task struct {
	pid, tid int
	nspid    []int
	name     string
	zombie   bool
	nodes    [nsfs.NumLinks]*node
}

// reader reads tasks. Each worker has one, so that no two share a buffer.
type reader struct {
	d      *dumper
	status nsfs.Status
	refs   nsfs.Refs
	nums   []int
	tasks  []*task
	pins   []pin
	unborn []*node // pid namespaces whose link says that they have no init yet
	last   [nsfs.NumLinks]struct {
		ref  nsfs.Ref
		node *node
	}
}

// scanAll reads every task. In a container those outside have no numbers.
func (d *dumper) scanAll() error {
	if n := d.own[nsfs.InPID]; n.ref.Ino != nsfs.InitPIDIno {
		d.miss.add(n.ref.String(), "not the initial pid namespace: tasks outside it are not shown")
	}
	pids, err := d.proc.PIDs(nil)
	if err != nil {
		return fmt.Errorf("dump: %w", err)
	}
	return d.readTasks(pids)
}

// readTasks reads the tasks of these numbers, on all cores. Those that are gone
// were none.
func (d *dumper) readTasks(pids []int) error {
	readers, err := d.parallel(len(pids), func(r *reader, i int) { r.pid(pids[i]) })
	for _, r := range readers {
		d.tasks = append(d.tasks, r.tasks...)
		d.pins = append(d.pins, r.pins...)
		for _, n := range r.unborn {
			n.unborn = n.noInit // since it may have been born meanwhile
		}
	}
	slices.SortFunc(d.tasks, func(a, b *task) int {
		if a.pid != b.pid {
			return a.pid - b.pid
		}
		return a.tid - b.tid
	})
	return err
}

// parallel calls do for each i below n, from as many goroutines as there are
// cores, each with a reader of its own.
func (d *dumper) parallel(n int, do func(r *reader, i int)) ([]*reader, error) {
	const chunk = 16
	var next atomic.Int64
	var wg sync.WaitGroup
	readers := make([]*reader, max(1, min(runtime.GOMAXPROCS(0), n/chunk)))
	for k := range readers {
		r := &reader{d: d}
		readers[k] = r
		wg.Go(func() {
			for d.ctx.Err() == nil {
				end := int(next.Add(chunk))
				if end-chunk >= n {
					return
				}
				for i := end - chunk; i < min(end, n); i++ {
					do(r, i)
				}
			}
		})
	}
	wg.Wait()
	return readers, d.ctx.Err()
}

// pid reads a process, its threads, its descriptors, and the mounts of its mount
// namespace.
func (r *reader) pid(pid int) {
	t, err := r.d.proc.Task(pid)
	if err != nil {
		return
	}
	defer t.Close()
	if t.Status(&r.status) != nil {
		return
	}
	leader := &task{pid: pid, tid: pid, name: r.status.Name, nspid: slices.Clone(r.status.NSPID), zombie: r.status.Zombie()}
	if !r.links(t, leader) {
		return
	}
	r.tasks = append(r.tasks, leader)
	threads := r.status.Threads
	if leader.zombie && threads <= 1 {
		return
	}
	if leader.nodes[nsfs.InUser] == nil {
		return // may not be looked at, and said so
	}
	r.descriptors(t)
	if n := leader.nodes[nsfs.InMnt]; n != nil {
		r.binds(t, n)
	}
	if threads > 1 {
		r.threads(t, leader)
	}
}

// threads reads the threads of a process, and keeps those that differ.
func (r *reader) threads(t nsfs.Task, leader *task) {
	var err error
	if r.nums, err = t.Threads(r.nums[:0]); err != nil {
		return
	}
	for _, tid := range r.nums {
		if tid == leader.tid {
			continue
		}
		th, err := t.Thread(tid)
		if err != nil {
			continue
		}
		r.thread(th, leader)
		th.Close()
	}
}

func (r *reader) thread(t nsfs.Task, leader *task) {
	rec := &task{pid: leader.pid, tid: t.TID()}
	if !r.links(t, rec) || rec.nodes == leader.nodes {
		return
	}
	if t.Status(&r.status) != nil || r.status.Zombie() {
		return
	}
	rec.name, rec.nspid = r.status.Name, slices.Clone(r.status.NSPID)
	r.tasks = append(r.tasks, rec)
	if n := rec.nodes[nsfs.InMnt]; n != nil && n != leader.nodes[nsfs.InMnt] {
		r.binds(t, n)
	}
}

// links follows the ten links of a task, and reports whether it is still there.
func (r *reader) links(t nsfs.Task, rec *task) bool {
	t.Refs(&r.refs)
	for i := range r.refs {
		l, err := nsfs.Link(i), r.refs[i].Err
		switch {
		case err == nil:
			rec.nodes[l] = r.node(t, l, r.refs[i].Ref)
		case errors.Is(err, nsfs.ErrDenied):
			r.d.miss.add(taskName(rec), "namespaces: permission denied")
			return true
		case l == nsfs.InUser:
			return false // every task has one, to its very end
		case l == nsfs.PIDForChildren && !rec.zombie && rec.nodes[nsfs.InMnt] != nil:
			rec.nodes[l] = r.unbornOf(t, rec)
		}
	}
	return true
}

// node finds the node of a link. Most tasks share their namespaces with the one
// before.
func (r *reader) node(t nsfs.Task, l nsfs.Link, ref nsfs.Ref) *node {
	last := &r.last[l]
	if last.ref == ref && last.node != nil {
		return last.node
	}
	n := r.d.byLink(t, l, ref)
	if n.known.Load() {
		last.ref, last.node = ref, n
	}
	return n
}

// unbornOf opens the pid namespace that a task's children will be in, where it
// has no init yet: up to Linux 7.0 the link does not lead there, a pidfd does.
func (r *reader) unbornOf(t nsfs.Task, rec *task) *node {
	ns, err := t.OpenByPIDFD(nsfs.PIDForChildren)
	switch {
	case errors.Is(err, nsfs.ErrNotSupported):
		r.d.miss.add(taskName(rec), "pid_for_children: a pid namespace without init, which this kernel does not open (Linux 6.11 does)")
		return nil
	case errors.Is(err, nsfs.ErrDenied):
		r.d.miss.add(taskName(rec), "pid_for_children: permission denied")
		return nil
	case err != nil:
		return nil // the task is gone
	}
	defer ns.Close()
	n := r.d.byNS(ns, way{kind: byPIDFD, task: member{t.PID(), t.TID()}, link: nsfs.PIDForChildren})
	if n != nil {
		r.unborn = append(r.unborn, n)
	}
	return n
}

func taskName(t *task) string {
	s := "pid " + strconv.Itoa(t.pid)
	if t.tid != t.pid {
		s += " thread " + strconv.Itoa(t.tid)
	}
	if t.name != "" {
		s += " (" + t.name + ")"
	}
	return s
}

// descriptors reads which of a task's descriptors are namespaces.
func (r *reader) descriptors(t nsfs.Task) {
	if t.PID() == r.d.self.PID() {
		for fd, ref := range r.d.fds {
			r.descriptor(t, fd, ref)
		}
		return
	}
	var err error
	r.nums, err = t.FDs(r.d.dev, r.nums, func(fd int, ref nsfs.Ref) { r.descriptor(t, fd, ref) })
	if errors.Is(err, nsfs.ErrDenied) {
		r.d.miss.add("pid "+strconv.Itoa(t.PID()), "descriptors: permission denied")
	}
}

func (r *reader) descriptor(t nsfs.Task, fd int, ref nsfs.Ref) {
	w := way{kind: byFD, task: member{t.PID(), t.PID()}, fd: fd}
	var n *node
	if ref.Type != 0 {
		var mine bool
		if n, mine = r.d.reg.get(ref); mine {
			ns, err := t.OpenFD(fd)
			if err != nil {
				r.d.reg.done(n, r.d.refused(n, err))
				return
			}
			n = r.d.described(n, ns, w)
			_ = ns.Close()
		}
	} else {
		ns, err := t.OpenFD(fd)
		if err != nil {
			return
		}
		n = r.d.byNS(ns, w)
		_ = ns.Close()
	}
	if n != nil {
		r.pins = append(r.pins, pin{node: n, Pin: topology.Pin{Kind: topology.PinFD, PID: t.PID(), FD: fd}})
	}
}
