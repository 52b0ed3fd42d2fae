package dump

import (
	"errors"
	"slices"
	"strconv"
	"sync"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// sockets are the sockets of which is known what they keep, by inode number: tasks
// that forked have the same. The kernel counts those numbers up, through four
// thousand million, before it uses one again.
type sockets struct {
	mu    sync.Mutex
	known map[uint64]*knownSocket
}

// knownSocket is what a socket keeps: its net namespace, and what is in flight to it.
type knownSocket struct {
	net    *node
	flight []flown
	unseen int // descriptors in flight
}

// flown is a namespace in flight.
type flown struct {
	node    *node
	passive bool // by a socket, not by a descriptor of its own
}

func (s *sockets) lookup(ino uint64) *knownSocket {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.known[ino]
	if k == nil || gone(k.net) || slices.ContainsFunc(k.flight, func(f flown) bool { return gone(f.node) }) {
		return nil
	}
	return k
}

func (s *sockets) store(ino uint64, k *knownSocket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[ino] = k
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
	k := (*knownSocket)(nil)
	if ino != 0 {
		k = r.d.socks.lookup(ino)
	}
	if k == nil {
		if k = r.copySocket(t, home, p); k == nil {
			return
		}
		if ino != 0 && k.net != nil {
			r.d.socks.store(ino, k)
		}
	}
	if k.net != nil && k.net != home {
		r.pins = append(r.pins, pin{node: k.net, Pin: p, passive: true, sure: true})
	}
	r.inFlight(t, home, p, k)
}

// copySocket asks a copy of a socket for its net namespace, and for what is in flight
// to it. It returns nil where there is no copy to be had.
func (r *reader) copySocket(t nsfs.Task, home *node, p topology.Pin) *knownSocket {
	if !r.openPIDFD(t) {
		return nil
	}
	s, err := nsfs.SocketOf(r.pidfd.FD(), p.FD)
	if err != nil {
		r.d.fault(taskNumbers(t), "sockets", err)
		return nil
	}
	defer s.Close()
	k := &knownSocket{}
	r.lookInto(t, s, home, p, k)
	ns, err := s.Net()
	if err != nil {
		r.noNet(s, taskNumbers(t)+" fd "+strconv.Itoa(p.FD), home, p, err)
		return k
	}
	defer ns.Close()
	k.net = r.d.byNS(ns, nsfs.Net, way{kind: bySocket, task: member{t.PID(), t.TID()}, fd: p.FD})
	return k
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
