package dump

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// inFlightDepth bounds how far sockets in flight are followed, each of which may
// have others in its own queue.
const inFlightDepth = 4

// inFlight looks at the descriptors that wait in a unix socket's queue, and are
// nobody's until they are received: of the first message that has any. Through
// the socket p they would come to its task.
func (r *reader) inFlight(t nsfs.Task, s nsfs.Socket, home *node, p topology.Pin) {
	if !s.Waiting() {
		return
	}
	total, err := t.InFlight(p.FD)
	if err != nil || total == 0 {
		return // it is no unix socket, or has gone
	}
	object := taskNumbers(t) + " fd " + strconv.Itoa(p.FD)
	seen, err := r.flight(s, home, p, inFlightDepth)
	switch {
	case errors.Is(err, nsfs.ErrNotSupported): // it listens, or has a peek offset
	case err != nil:
		r.d.fault(object, "descriptors in flight", err)
	}
	if seen < total {
		r.d.miss.add(object, fmt.Sprintf("%d of the descriptors in flight to it cannot be looked at before others are received", total-seen))
	}
}

func (r *reader) flight(s nsfs.Socket, home *node, p topology.Pin, depth int) (int, error) {
	p.Kind = topology.PinInFlight
	w := way{kind: byFlight, task: member{p.PID, max(p.PID, p.TID)}, fd: p.FD}
	namespace := func(ns *nsfs.NS) {
		if n := r.d.byNS(ns, 0, w); n != nil {
			r.pins = append(r.pins, pin{node: n, Pin: p, sure: true})
		}
	}
	return s.InFlight(r.d.dev, namespace, func(inner nsfs.Socket) {
		if ns, err := inner.Net(); err == nil {
			if n := r.d.byNS(ns, nsfs.Net, w); n != nil && n != home {
				r.pins = append(r.pins, pin{node: n, Pin: p, passive: true, sure: true})
			}
			_ = ns.Close()
		}
		if depth > 1 && inner.Waiting() {
			_, _ = r.flight(inner, home, p, depth-1)
		}
	})
}

// openFlight opens again a namespace that was found in flight to a task's socket.
func (d *dumper) openFlight(t nsfs.Task, fd int, want nsfs.Ref) (*nsfs.NS, error) {
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
	var found *nsfs.NS
	check := func(ns *nsfs.NS) {
		if ref, err := ns.Ref(); err == nil && ref == want && found == nil {
			found, _ = ns.Dup()
		}
	}
	if _, err := s.InFlight(d.dev, check, func(inner nsfs.Socket) {
		if ns, err := inner.Net(); err == nil {
			check(ns)
			_ = ns.Close()
		}
	}); err != nil {
		return nil, err
	}
	if found == nil {
		return nil, &nsfs.Error{Op: "open", Object: want.String(), Kind: nsfs.ErrGone, Errno: esrch}
	}
	return found, nil
}
