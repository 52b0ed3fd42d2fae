package dump

import (
	"errors"
	"strconv"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// descriptors reads which of a task's descriptors are namespaces, or belong to
// one. Home is the net namespace that the task is in.
func (r *reader) descriptors(t nsfs.Task, home *node) {
	r.mark = r.d.reg.clock.Load()
	namespace := func(fd int, ref nsfs.Ref) { r.descriptor(t, fd, ref) }
	socket := func(fd int, ino uint64) { r.socket(t, home, fd, ino) }
	if t.PID() == r.d.self.PID() && t.TID() == t.PID() {
		for fd, ref := range r.d.fds.namespaces {
			namespace(fd, ref)
		}
		for fd, ino := range r.d.fds.sockets {
			socket(fd, ino)
		}
		return
	}
	var err error
	if r.nums, err = t.FDs(r.d.dev, r.nums, namespace, socket); err != nil {
		r.d.fault(taskNumbers(t), "descriptors", err)
	}
}

func (r *reader) descriptor(t nsfs.Task, fd int, ref nsfs.Ref) {
	p := pin{Pin: topology.Pin{Kind: topology.PinFD, PID: t.PID(), TID: threadOf(t), FD: fd}}
	if p.node = r.d.reg.lookup(ref); p.node == nil || !r.sameByNumber(p.node) {
		ns, err := t.OpenFD(fd)
		if errors.Is(err, nsfs.ErrDenied) {
			r.d.fault(taskNumbers(t)+" fd "+strconv.Itoa(fd), "namespace", err)
		}
		if err != nil {
			return // it was closed
		}
		defer ns.Close()
		p.node, p.sure = r.d.byNS(ns, 0, way{kind: byFD, task: member{t.PID(), t.TID()}, fd: fd}), true
	}
	if p.node != nil {
		r.pins = append(r.pins, p)
	}
}

// tablesMax is how many descriptor tables of one process are told apart.
const tablesMax = 64

// table reads the descriptors of a thread that has a table of its own, as
// unshare(2) with CLONE_FILES gives it: one that none of r.tables, which are
// threads by number, has too.
func (r *reader) table(t nsfs.Task, home *node) {
	for _, tid := range r.tables {
		shared, err := t.SharesFDs(tid)
		if err != nil {
			r.d.fault(taskNumbers(t), "whether it has descriptors of its own", err)
		}
		if err != nil || shared {
			return
		}
	}
	if len(r.tables) == tablesMax {
		r.d.miss.add("pid "+strconv.Itoa(t.PID()), "descriptors: too many threads have some of their own")
		return
	}
	r.tables = append(r.tables, t.TID())
	r.descriptors(t, home)
}

// threadOf returns a thread's number, 0 for a process.
func threadOf(t nsfs.Task) int {
	if t.TID() == t.PID() {
		return 0
	}
	return t.TID()
}
