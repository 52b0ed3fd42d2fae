package dump

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// How far sockets in flight are followed, each of which may have others in its own
// queue; and in one dump how many of them, and how many pins all make, one for each
// task that has the socket. Whoever is looked at decides on all of that.
const (
	inFlightDepth = 8
	inFlightMost  = 1 << 16
)

// flight is a walk through the descriptors that wait in the queue of a unix socket, and
// in those of the sockets among them.
type flight struct {
	d         *dumper
	namespace func(*nsfs.NS)
	socket    func(nsfs.Socket)
	met       map[uint64]bool // sockets by their inode numbers: one may wait in its own queue
	unseen    int             // descriptors
}

// follow looks at the first message with descriptors in a socket's queue, which has
// total of them.
func (f *flight) follow(s nsfs.Socket, total, depth int) error {
	if depth > inFlightDepth || f.d.followed.Add(1) > inFlightMost {
		f.unseen += total
		return nil
	}
	seen, err := s.InFlight(f.d.dev, f.namespace, func(inner nsfs.Socket) {
		if !f.meet(inner) {
			return
		}
		f.socket(inner)
		if !inner.Waiting() {
			return
		}
		if n, err := f.d.self.InFlight(inner.FD()); err == nil && n > 0 {
			_ = f.follow(inner, n, depth+1) // what it does not see is counted
		}
	})
	f.unseen += max(0, total-seen)
	return err
}

// meet reports whether a socket was not met before.
func (f *flight) meet(s nsfs.Socket) bool {
	ino, err := s.Ino()
	if err != nil || f.met[ino] {
		return false
	}
	f.met[ino] = true
	return true
}

// lookInto notes in k which namespaces wait in a unix socket's queue, and are nobody's
// until they are received. Through the socket p they would come to its task.
func (r *reader) lookInto(t nsfs.Task, s nsfs.Socket, home *node, p topology.Pin, k *knownSocket) {
	if !s.Waiting() {
		return
	}
	total, err := t.InFlight(p.FD)
	if err != nil || total == 0 {
		return // it is no unix socket, or has gone
	}
	object := taskNumbers(t) + " fd " + strconv.Itoa(p.FD)
	p.Kind = topology.PinInFlight
	w := way{kind: byFlight, task: member{t.PID(), t.TID()}, fd: p.FD}
	add := func(n *node, passive bool) {
		at := slices.IndexFunc(k.flight, func(f flown) bool { return f.node == n })
		switch {
		case n == nil:
		case at < 0:
			k.flight = append(k.flight, flown{n, passive})
		case !passive:
			k.flight[at].passive = false
		}
	}
	f := flight{d: r.d, met: map[uint64]bool{}}
	f.namespace = func(ns *nsfs.NS) { add(r.d.byNS(ns, 0, w), false) }
	f.socket = func(inner nsfs.Socket) {
		ns, err := inner.Net()
		if err != nil {
			r.noNet(inner, object, home, p, err)
			return
		}
		defer ns.Close()
		add(r.d.byNS(ns, nsfs.Net, w), true)
	}
	f.meet(s)
	if err := f.follow(s, total, 1); err != nil && !errors.Is(err, nsfs.ErrNotSupported) {
		r.d.fault(object, "descriptors in flight", err)
	}
	k.unseen = f.unseen
}

// inFlight adds what is in flight to one of a task's sockets, of which home is no news
// where it is a socket's.
func (r *reader) inFlight(t nsfs.Task, home *node, p topology.Pin, k *knownSocket) {
	p.Kind = topology.PinInFlight
	object := func() string { return taskNumbers(t) + " fd " + strconv.Itoa(p.FD) }
	for _, f := range k.flight {
		if f.passive && f.node == home {
			continue
		}
		if r.d.flown.Add(1) > inFlightMost {
			r.d.miss.add(object(), "descriptors in flight: too many")
			break
		}
		r.pins = append(r.pins, pin{node: f.node, Pin: p, passive: f.passive, sure: true})
	}
	if k.unseen > 0 {
		r.d.miss.add(object(), fmt.Sprintf("%d of the descriptors in flight to it cannot be looked at before others are received", k.unseen))
	}
}

// openFlight opens again a namespace that was found in flight to a task's socket.
func (d *dumper) openFlight(t nsfs.Task, fd int, want nsfs.Ref) (*nsfs.NS, error) {
	pidfd, err := t.PIDFD()
	if err != nil {
		return nil, err
	}
	defer pidfd.Close()
	s, err := nsfs.SocketOf(pidfd.FD(), fd)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	var found *nsfs.NS
	f := flight{d: d, met: map[uint64]bool{}}
	f.namespace = func(ns *nsfs.NS) {
		if ref, err := ns.Ref(); err == nil && ref == want && found == nil {
			found, _ = ns.Dup()
		}
	}
	f.socket = func(inner nsfs.Socket) {
		if ns, err := inner.Net(); err == nil {
			f.namespace(ns)
			_ = ns.Close()
		}
	}
	f.meet(s)
	if err := f.follow(s, 0, 1); err != nil {
		return nil, err
	}
	if found == nil {
		return nil, &nsfs.Error{Op: "open", Object: want.String(), Kind: nsfs.ErrGone, Errno: esrch}
	}
	return found, nil
}
