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
)

const esrch = unix.ESRCH

// task is what was read of a task, or of a thread whose namespaces differ from
// its leader's.
type task struct {
	pid, tid int
	nspid    []int
	name     string
	zombie   bool
	hidden   bool // may not be looked at
	sure     bool // that all its namespaces are those of their numbers was checked
	nodes    [nsfs.NumLinks]*node
	opened   [nsfs.NumLinks]bool // that a namespace is that of its number: it was opened through the link
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
	lost   int     // tasks that had ended
	held   held
	moved  []int // processes that had gone elsewhere, or ended
	mark   int64 // the registry's count when what is at hand was read
	fresh  bool  // there was one that was not there at the last look
	tables []int // threads of the task at hand that have a descriptor table each

	pidfd   nsfs.PIDFD // of the task at hand, where it was wanted yet
	noPIDFD bool       // it cannot be had
	sockets []unknownSocket

	agent    bool // it is one of the dump's own that is asked for bind mounts
	unopened []unopened

	last [nsfs.NumLinks]struct {
		ref  nsfs.Ref
		node *node
	}
}

// scanAll reads every task that was not read yet. In a container those outside
// have no numbers.
func (d *dumper) scanAll() error {
	if n := d.own[nsfs.InPID]; n != nil {
		d.miss.outside(n.ref)
	}
	if d.filtered {
		d.miss.add("listns(2)", "shows but the caller's own namespaces, and leaves out the others without a word")
	}
	pids, err := d.proc.PIDs(nil)
	if err != nil {
		return fmt.Errorf("dump: %w", err)
	}
	return d.readFresh(pids)
}

// readTasks reads the tasks of these numbers, on all cores. Those that are gone
// were none.
func (d *dumper) readTasks(pids []int) error {
	readers, err := d.parallel(len(pids), func(r *reader, i int) { r.pid(pids[i]) })
	for _, r := range readers {
		d.tasks = append(d.tasks, r.tasks...)
		d.pins = append(d.pins, r.pins...)
		d.unknownSockets = append(d.unknownSockets, r.sockets...)
		d.unopened = append(d.unopened, r.unopened...)
		d.lostTasks += r.lost
		if !d.ids {
			r.doubt()
		}
		for _, pid := range r.moved {
			delete(d.read, pid)
		}
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

// doubt has namespaces checked again to which more tasks lead now. Without ids,
// others may have ended since the last time and left their number to them.
func (r *reader) doubt() {
	for _, t := range r.tasks {
		for _, n := range t.nodes {
			if n != nil {
				n.checked = n.held
			}
		}
	}
}

// parallel calls do for each i below n, from as many goroutines as there are
// cores, each with a reader of its own.
func (d *dumper) parallel(n int, do func(r *reader, i int)) ([]*reader, error) {
	return d.parallelOn(runtime.GOMAXPROCS(0), n, do)
}

// parallelOn is parallel on so many cores.
func (d *dumper) parallelOn(cores, n int, do func(r *reader, i int)) ([]*reader, error) {
	const chunk = 16
	var next atomic.Int64
	var wg sync.WaitGroup
	readers := make([]*reader, max(1, min(cores, n/chunk)))
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
	return readers, d.ended()
}

// pid reads a process, its threads, its descriptors, and the mounts of its mount
// namespace.
func (r *reader) pid(pid int) {
	t, err := r.d.proc.Task(pid)
	if err != nil {
		r.notRead("pid "+strconv.Itoa(pid), err)
		return
	}
	defer t.Close()
	defer r.closePIDFD()
	if r.d.pidfds {
		r.pidfd, err = t.StatusAndPIDFD(&r.status)
	} else {
		err = t.Status(&r.status)
	}
	if err != nil {
		r.notRead("pid "+strconv.Itoa(pid), err)
		return
	}
	leader := &task{pid: pid, tid: pid, name: r.status.Name, nspid: slices.Clone(r.status.NSPID), zombie: r.status.Zombie(), sure: r.d.sure}
	if !r.links(t, leader) {
		r.lost++
		r.moved = append(r.moved, pid)
		return
	}
	r.tasks = append(r.tasks, leader)
	threads := r.status.Threads
	if leader.nodes[nsfs.InMnt] == nil && threads <= 1 && !leader.hidden {
		r.lost++ // it is about to end, and has let go of what it may have passed on
	}
	if leader.zombie && threads <= 1 || leader.hidden {
		return
	}
	r.tables = r.tables[:0]
	if !leader.zombie {
		r.tables = append(r.tables, pid)
		r.descriptors(t, leader.nodes[nsfs.InNet])
		r.binds(t, leader.nodes[nsfs.InMnt])
	}
	if threads > 1 {
		r.closePIDFD() // each thread has its own
		r.threads(t, leader)
	}
}

// notRead notes why a task was not read.
func (r *reader) notRead(object string, err error) {
	if errors.Is(err, nsfs.ErrGone) {
		r.lost++
		return
	}
	r.d.fault(object, "status", err)
}

// threads reads the threads of a process, and keeps those that differ. One that has
// ended may have left its namespaces to another that it made: they are listed again.
func (r *reader) threads(t nsfs.Task, leader *task) {
	var before []int
	for range tries {
		tids, err := t.Threads(nil)
		if err != nil {
			r.d.fault(taskNumbers(t), "threads", err)
			return
		}
		lost := false
		for _, tid := range tids {
			if _, was := slices.BinarySearch(before, tid); !was && tid != leader.tid && !r.thread(t, tid, leader) {
				lost = true
			}
		}
		if !lost {
			return
		}
		before = tids
	}
	r.lost++
}

// thread reads a thread, and reports whether it was there.
func (r *reader) thread(process nsfs.Task, tid int, leader *task) bool {
	t, err := process.Thread(tid)
	if err != nil {
		r.d.fault(taskNumbers(process), "threads", err)
		return false
	}
	defer t.Close()
	defer r.closePIDFD()
	if r.d.pidfds {
		r.pidfd, _ = t.PIDFD()
	}
	rec := &task{pid: leader.pid, tid: tid, sure: r.d.sure}
	if !r.links(t, rec) {
		return false
	}
	r.table(t, rec.nodes[nsfs.InNet])
	if rec.nodes == leader.nodes {
		return true
	}
	if t.Status(&r.status) != nil || r.status.Zombie() {
		return true
	}
	rec.name, rec.nspid = r.status.Name, slices.Clone(r.status.NSPID)
	r.tasks = append(r.tasks, rec)
	if n := rec.nodes[nsfs.InMnt]; n != leader.nodes[nsfs.InMnt] {
		r.binds(t, n)
	}
	return true
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

// taskNumbers names a task where its name is not at hand.
func taskNumbers(t nsfs.Task) string { return taskName(&task{pid: t.PID(), tid: t.TID()}) }
