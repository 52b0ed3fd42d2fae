package dump

import (
	"cmp"
	"errors"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// byLink returns the node of the number that a task's link shows. Where no one has
// described it yet it does so, through that link; then it is sure that the link
// leads there. It returns nil where the task vanished meanwhile. What was opened is
// left to h.
func (d *dumper) byLink(t nsfs.Task, l nsfs.Link, ref nsfs.Ref, h *held) (n *node, sure bool) {
	n, mine := d.reg.get(ref)
	if !mine {
		return n, n.held
	}
	w := way{kind: byLink, task: member{t.PID(), t.TID()}, link: l}
	ns, err := t.Open(l)
	if err != nil {
		refused := d.refused(n, err)
		if d.reg.done(n, refused); refused {
			return n, false
		}
		return nil, false
	}
	defer h.close(ns, ref.Type)
	return d.described(n, ns, w), true
}

// held are the user and the pid namespace that were opened last. While a namespace is
// open, to be asked for it as the owner of another, or as that of a task's children,
// takes half the time: the kernel keeps no inode of one that nobody has open
// (nsfs_evict, fs/nsfs.c). The caller's own, which many tasks are in, stay open for
// as long as the dump takes. Its zero value and nil hold none.
type held struct{ user, pid *nsfs.NS }

func (h *held) close(ns *nsfs.NS, t nsfs.Type) {
	switch {
	case h == nil:
	case t == nsfs.User:
		ns, h.user = h.user, ns
	case t == nsfs.PID:
		ns, h.pid = h.pid, ns
	}
	if ns != nil {
		_ = ns.Close()
	}
}

// release closes what is held.
func (h *held) release() {
	h.close(nil, nsfs.User)
	h.close(nil, nsfs.PID)
}

// described describes n, which the caller has claimed and thinks to have open as
// ns. Where the task has moved to another namespace, it returns that one's.
func (d *dumper) described(n *node, ns *nsfs.NS, w way) *node {
	h, err := d.identify(ns, n.ref.Type)
	if err != nil || h.Ref() != n.ref {
		d.reg.done(n, false)
		if err != nil {
			return nil
		}
		return d.byHandle(ns, h, w)
	}
	n.way, n.id = w, h.ID
	d.describe(n, ns)
	d.reg.done(n, true)
	return n
}

// identify asks an open namespace for its number and, where the kernel has them,
// its id. Its type it is asked for where t is zero: all three by one system call,
// which takes longer than those for two.
func (d *dumper) identify(ns *nsfs.NS, t nsfs.Type) (nsfs.Handle, error) {
	h := nsfs.Handle{Type: t}
	var err error
	if d.ids {
		if t == 0 {
			if h, err := ns.Handle(); err == nil {
				return h, nil
			}
		}
		if h.ID, err = ns.ID(); err != nil {
			return h, err
		}
	}
	if t == 0 {
		if h.Type, err = ns.Type(); err != nil {
			return h, err
		}
	}
	ino, err := ns.Ino()
	h.Ino = uint32(ino)
	return h, err
}

// refused notes that a namespace is there and may not be opened, and reports
// whether that is what err says.
func (d *dumper) refused(n *node, err error) bool {
	if !errors.Is(err, nsfs.ErrDenied) {
		return false
	}
	n.ownerErr, n.parentErr = err, err
	return true
}

// byNS returns the node of an open namespace, whose type may be unknown.
func (d *dumper) byNS(ns *nsfs.NS, t nsfs.Type, w way) *node {
	h, err := d.identify(ns, t)
	if err != nil {
		return nil
	}
	return d.byHandle(ns, h, w)
}

// byHandle is byNS where it is known already who the namespace is.
func (d *dumper) byHandle(ns *nsfs.NS, h nsfs.Handle, w way) *node {
	for {
		n, mine := d.reg.get(h.Ref())
		switch {
		case mine:
			n.way, n.id = w, h.ID
			d.describe(n, ns)
			d.reg.done(n, true)
			return n
		case d.same(n, ns, h.ID):
			return n
		}
		d.reg.forget(n) // its namespace is gone, as its number is this one's now
	}
}

// same reports whether an open namespace with n's number is n: its id tells, from
// Linux 6.18. Before, one that has the same owner, parent and creator is n to all
// intents: nothing that is said of n is wrong of it.
func (d *dumper) same(n *node, ns *nsfs.NS, id nsfs.ID) bool {
	if n.held {
		return true
	}
	if gone(n) {
		return false
	}
	if d.ids {
		return id == n.id
	}
	if !sameEdge(n.owner, ns.Owner) {
		return false
	}
	switch n.ref.Type {
	case nsfs.User:
		uid, err := ns.OwnerUID()
		return err == nil && uid == n.ownerUID
	case nsfs.PID:
		return sameEdge(n.parent, ns.Parent)
	}
	return true
}

func sameEdge(n *node, open func() (*nsfs.NS, error)) bool {
	up, err := open()
	if err != nil {
		return n == nil
	}
	defer up.Close()
	ino, err := up.Ino()
	return err == nil && n != nil && ino == n.ref.Ino
}

// describe asks an open namespace for its edges, and goes on with those that are
// new, up to where the caller sees no further. The kernel nests 33 levels deep,
// which bounds the recursion.
func (d *dumper) describe(n *node, ns *nsfs.NS) {
	up, err := ns.Owner()
	n.owner, n.ownerErr = d.edge(up, err, nsfs.User, way{kind: byOwner, from: n})
	switch n.ref.Type {
	case nsfs.User:
		n.parent = n.owner
		n.ownerUID, _ = ns.OwnerUID()
	case nsfs.Mnt:
		n.mounts, _ = ns.Mounts()
	case nsfs.PID:
		up, err = ns.Parent()
		n.parent, n.parentErr = d.edge(up, err, nsfs.PID, way{kind: byParent, from: n})
		d.askInit(n, ns)
	}
}

// edge follows an edge to what was opened there. An error is for settle to note,
// unless the namespace turns out to be external.
func (d *dumper) edge(up *nsfs.NS, err error, t nsfs.Type, w way) (*node, error) {
	if err != nil {
		return nil, err
	}
	defer up.Close()
	h, err := d.identify(up, t)
	if err != nil {
		return nil, err
	}
	return d.byHandle(up, h, w), nil
}

// reopen opens a namespace again that was found earlier, and makes sure that it
// is the same: by id where the kernel has them.
func (d *dumper) reopen(n *node) (*nsfs.NS, error) {
	if n.id != 0 && d.sees {
		h := nsfs.Handle{ID: n.id, Type: n.ref.Type, Ino: uint32(n.ref.Ino)}
		if ns, err := h.Open(); err == nil {
			return ns, nil
		}
	}
	ns, err := d.openSame(n, n.way)
	if err == nil {
		return ns, nil
	}
	for _, w := range d.otherWays(n) {
		if ns, err := d.openSame(n, w); err == nil {
			return ns, nil
		}
	}
	return nil, err
}

// otherWays returns the ways to a namespace beside the one by which it was found:
// whoever that led through may have ended since, or let go of it.
func (d *dumper) otherWays(n *node) []way {
	var list []way
	if n.member.pid != 0 {
		list = append(list, way{kind: byLink, task: n.member, link: linkOf(n.ref.Type)})
	}
	for _, t := range d.tasks {
		for l, m := range t.nodes {
			if m == n {
				list = append(list, way{kind: byLink, task: member{t.pid, t.tid}, link: nsfs.Link(l)})
			}
		}
	}
	for _, p := range d.pins {
		if p.node == n && p.Kind == topology.PinFD {
			list = append(list, way{kind: byFD, task: member{p.PID, cmp.Or(p.TID, p.PID)}, fd: p.FD})
		}
	}
	return list
}

// openSame opens a namespace by a way, if it still leads to the same.
func (d *dumper) openSame(n *node, w way) (*nsfs.NS, error) {
	ns, err := d.openWay(w, n.ref)
	if err != nil && !errors.Is(err, nsfs.ErrNoNamespace) {
		return nil, err
	}
	if err == nil {
		if h, err := d.identify(ns, 0); err == nil && h.Ref() == n.ref && d.same(n, ns, h.ID) {
			return ns, nil
		}
		_ = ns.Close()
	}
	return nil, &nsfs.Error{Op: "open", Object: n.ref.String(), Kind: nsfs.ErrGone, Errno: esrch}
}

func (d *dumper) openWay(w way, want nsfs.Ref) (*nsfs.NS, error) {
	switch w.kind {
	case byOwner, byParent:
		from, err := d.reopen(w.from)
		if err != nil {
			return nil, err
		}
		defer from.Close()
		if w.kind == byOwner {
			return from.Owner()
		}
		return from.Parent()
	case byID:
		return nsfs.Handle{ID: w.from.id}.Open()
	case byBind:
		if w.task.pid == 0 {
			return d.openBindOf(w.from, w.path)
		}
	}
	t, err := d.task(w.task)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	switch w.kind {
	case byPIDFD:
		return t.OpenByPIDFD(w.link)
	case byFD:
		return t.OpenFD(w.fd)
	case byFlight:
		return d.openFlight(t, w.fd, want)
	case bySocket:
		return openSocket(t, w.fd)
	case byBind:
		return t.OpenBind(w.path)
	default:
		return t.Open(w.link)
	}
}

// task opens a task or thread by its numbers.
func (d *dumper) task(m member) (nsfs.Task, error) {
	t, err := d.proc.Task(m.pid)
	if err != nil || m.tid == m.pid {
		return t, err
	}
	defer t.Close()
	return t.Thread(m.tid)
}

// linkOf returns the link by which a task is a member of a namespace.
func linkOf(t nsfs.Type) nsfs.Link {
	for l := range nsfs.PIDForChildren {
		if l.Type() == t {
			return l
		}
	}
	return nsfs.InUser
}
