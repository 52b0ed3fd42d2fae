package dump

import (
	"errors"
	"strconv"
	"sync"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// sockets are the sockets whose net namespace is known, by inode number: tasks
// that forked have the same. The kernel counts those numbers up, through four
// thousand million, before it uses one again.
type sockets struct {
	mu   sync.Mutex
	nets map[uint64]*node
}

func (s *sockets) lookup(ino uint64) *node {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.nets[ino]; n != nil && !gone(n) {
		return n
	}
	return nil
}

func (s *sockets) store(ino uint64, n *node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nets[ino] = n
}

// unknownSocket is a socket that does not open its net namespace for the caller,
// and only says its cookie.
type unknownSocket struct {
	topology.Pin
	cookie uint64
	home   *node // the net namespace of its task
}

// socket finds out which net namespace one of a task's sockets belongs to, through
// a copy of the socket: no file of /proc tells it of all sockets, and to read
// those that tell it of some takes longer. A net namespace that nothing but
// sockets hold is inactive: listns(2) does not list it (sk_alloc takes a passive
// reference, net/core/sock.c).
//
// A socket of the namespace that its task is in is no pin that the task is not.
func (r *reader) socket(t nsfs.Task, home *node, fd int, ino uint64) {
	p := topology.Pin{Kind: topology.PinSocket, PID: t.PID(), TID: threadOf(t), FD: fd}
	n := (*node)(nil)
	if ino != 0 {
		n = r.d.socks.lookup(ino)
	}
	if n == nil {
		if n = r.copySocket(t, home, p); n == nil {
			return
		}
		if ino != 0 {
			r.d.socks.store(ino, n)
		}
	}
	if n != home {
		r.pins = append(r.pins, pin{node: n, Pin: p, passive: true, sure: true})
	}
}

// copySocket asks a copy of a socket for its net namespace.
func (r *reader) copySocket(t nsfs.Task, home *node, p topology.Pin) *node {
	if !r.openPIDFD(t) {
		return nil
	}
	s, err := nsfs.SocketOf(r.pidfd.FD(), p.FD)
	if err != nil {
		r.d.fault(taskNumbers(t), "sockets", err)
		return nil
	}
	defer s.Close()
	r.inFlight(t, s, home, p)
	ns, err := s.Net()
	if err != nil {
		r.noNet(s, taskNumbers(t)+" fd "+strconv.Itoa(p.FD), home, p, err)
		return nil
	}
	defer ns.Close()
	return r.d.byNS(ns, nsfs.Net, way{kind: bySocket, task: member{t.PID(), t.TID()}, fd: p.FD})
}

// noNet sees to a socket that does not open its net namespace, and why: p is the pin
// that it is, or would be.
func (r *reader) noNet(s nsfs.Socket, object string, home *node, p topology.Pin, err error) {
	if errors.Is(err, nsfs.ErrNotSupported) {
		return
	}
	if errors.Is(err, nsfs.ErrDenied) {
		if cookie, err := s.Cookie(); err == nil {
			r.sockets = append(r.sockets, unknownSocket{p, cookie, home})
			return
		}
	}
	r.d.fault(object, "net namespace of the socket", err)
}

// openPIDFD makes sure that the reader has a pidfd of the task at hand.
func (r *reader) openPIDFD(t nsfs.Task) bool {
	if r.pidfd.OK() {
		return true
	}
	if r.noPIDFD {
		return false
	}
	f, err := t.PIDFD()
	if err != nil {
		r.noPIDFD = true
		r.d.fault(taskNumbers(t), "sockets", err)
		return false
	}
	r.pidfd = f
	return true
}

func (r *reader) closePIDFD() {
	r.pidfd.Close()
	r.pidfd, r.noPIDFD = nsfs.PIDFD{}, false
}

// openSocket opens the net namespace of a task's socket again.
func openSocket(t nsfs.Task, fd int) (*nsfs.NS, error) {
	f, err := t.PIDFD()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s, err := nsfs.SocketOf(f.FD(), fd)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.Net()
}

// settleSockets finds the net namespaces of sockets that told no more than a
// cookie: the caller's own, or from Linux 6.18 on any that has this id.
func (d *dumper) settleSockets() {
	if len(d.unknownSockets) == 0 {
		return
	}
	nets := map[uint64]*node{}
	for _, n := range d.reg.all(func(n *node) bool { return n.ref.Type == nsfs.Net && n.id != 0 }) {
		nets[uint64(n.id)] = n
	}
	if s, err := nsfs.OwnSocket(); err == nil {
		if cookie, err := s.Cookie(); err == nil {
			nets[cookie] = d.own[nsfs.InNet]
		}
		s.Close()
	}
	for _, s := range d.unknownSockets {
		switch n := nets[s.cookie]; n {
		case s.home:
		case nil:
			d.miss.add("pid "+strconv.Itoa(s.PID)+" fd "+strconv.Itoa(s.FD), "net namespace of the socket: permission denied")
		default:
			d.pins = append(d.pins, pin{node: n, Pin: s.Pin, passive: true, sure: true})
		}
	}
}

// ownFDs are the caller's own descriptors that belong to namespaces, from before
// the dump opened any.
type ownFDs struct {
	namespaces map[int]nsfs.Ref
	sockets    map[int]uint64
}

func (d *dumper) readOwnFDs() error {
	d.fds = ownFDs{map[int]nsfs.Ref{}, map[int]uint64{}}
	_, err := d.self.FDs(d.dev, nil,
		func(fd int, r nsfs.Ref) { d.fds.namespaces[fd] = r },
		func(fd int, ino uint64) { d.fds.sockets[fd] = ino })
	return err
}
