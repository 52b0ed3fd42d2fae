package images

import (
	"fmt"
	"io"
	"slices"

	pb "github.com/renest/renest/images/internal/nstreepb"
	"github.com/renest/renest/topology"
)

// Decode reads an image with the default limits.
func Decode(r io.Reader) (*topology.Graph, error) {
	return Decoder{}.Decode(r)
}

// Decoder reads images within limits. A limit of zero is the default.
type Decoder struct {
	MaxNamespaces int // by default a million
	MaxTasks      int // by default as many as Linux can have, 4,194,304
}

// Decode reads one image from r and not a byte more. Its error is a
// *FormatError, except where r itself fails.
func (d Decoder) Decode(r io.Reader) (*topology.Graph, error) {
	if d.MaxNamespaces == 0 {
		d.MaxNamespaces = defaultNamespaces
	}
	if d.MaxTasks == 0 {
		d.MaxTasks = defaultTasks
	}
	s := decoding{limits: d, frames: frameReader{r: r}, graph: new(topology.Graph)}
	if err := s.run(); err != nil {
		return nil, s.frames.fail(err)
	}
	return s.graph, nil
}

// decoding is an image half read.
type decoding struct {
	limits Decoder
	frames frameReader
	graph  *topology.Graph
	later  []reference
}

// reference is a pin's, to a namespace that may be yet to come.
type reference struct {
	from    *topology.Namespace
	pin     int
	mnt, ns uint32
}

func (s *decoding) run() error {
	if err := s.frames.magics(); err != nil {
		return err
	}
	if err := s.header(); err != nil {
		return err
	}
	for {
		var e pb.Entry
		if err := s.frames.entry(&e, maxEntry); err != nil {
			return err
		}
		var err error
		switch kind := e.GetKind().(type) {
		case *pb.Entry_Namespace:
			err = s.namespace(kind.Namespace)
		case *pb.Entry_Pins:
			err = s.pins(kind.Pins.GetPins())
		case *pb.Entry_Task:
			err = s.task(kind.Task)
		case *pb.Entry_End:
			return s.end(kind.End)
		default:
			err = fmt.Errorf("an entry of a kind that has no place here: %w", ErrInvalid)
		}
		if err != nil {
			return err
		}
	}
}

func (s *decoding) header() error {
	var e pb.Entry
	if err := s.frames.entry(&e, maxHeader); err != nil {
		return err
	}
	h := e.GetHeader()
	if h == nil {
		return fmt.Errorf("the first entry is none: %w", ErrInvalid)
	}
	if v := h.GetVersion(); v != Version {
		return fmt.Errorf("image version %d, this renest reads %d: %w", v, Version, ErrVersion)
	}
	s.frames.headerDone()
	s.graph.Header = unpackHeader(h)
	return checkHeader(&s.graph.Header)
}

func (s *decoding) namespace(m *pb.Namespace) error {
	switch {
	case len(s.graph.Tasks) > 0:
		return fmt.Errorf("a namespace after the tasks: %w", ErrInvalid)
	case len(s.graph.Namespaces) == s.limits.MaxNamespaces:
		return fmt.Errorf("more than %d namespaces: %w", s.limits.MaxNamespaces, ErrLimit)
	}
	n := unpackNamespace(m)
	if err := checkNamespace(n); err != nil {
		return err
	}
	var err error
	if n.Owner, err = s.known("owner", m.GetOwner()); err != nil {
		return err
	}
	if n.Parent, err = s.known("parent", m.GetParent()); err != nil {
		return err
	}
	s.graph.Namespaces = append(s.graph.Namespaces, n)
	return s.pins(m.GetPins())
}

// pins adds pins to the namespace read last.
func (s *decoding) pins(pins []*pb.Pin) error {
	if len(s.graph.Namespaces) == 0 || len(s.graph.Tasks) > 0 {
		return fmt.Errorf("pins of no namespace: %w", ErrInvalid)
	}
	n := s.graph.Namespaces[len(s.graph.Namespaces)-1]
	n.Pins = slices.Grow(n.Pins, len(pins))
	for _, m := range pins {
		p := unpackPin(m)
		if err := checkPin(&p); err != nil {
			return err
		}
		if m.GetMnt() != 0 || m.GetNs() != 0 {
			s.later = append(s.later, reference{from: n, pin: len(n.Pins), mnt: m.GetMnt(), ns: m.GetNs()})
		}
		n.Pins = append(n.Pins, p)
	}
	return nil
}

func (s *decoding) task(m *pb.Task) error {
	if len(s.graph.Tasks) == s.limits.MaxTasks {
		return fmt.Errorf("more than %d tasks: %w", s.limits.MaxTasks, ErrLimit)
	}
	if n := len(m.GetNamespaces()); n > topology.NumLinks {
		return fmt.Errorf("task with %d links, at most %d: %w", n, topology.NumLinks, ErrInvalid)
	}
	t := unpackTask(m)
	if err := checkTask(t); err != nil {
		return err
	}
	if err := checkOrder(s.graph.Tasks, t); err != nil {
		return err
	}
	for i, number := range m.GetNamespaces() {
		var err error
		if t.Namespaces[i], err = s.known(topology.Link(i).String(), number); err != nil {
			return err
		}
	}
	s.graph.Tasks = append(s.graph.Tasks, t)
	return nil
}

// end checks the counts and the whole.
func (s *decoding) end(m *pb.End) error {
	if n, t := len(s.graph.Namespaces), len(s.graph.Tasks); int64(m.GetNamespaces()) != int64(n) || int64(m.GetTasks()) != int64(t) {
		return fmt.Errorf("%d namespaces and %d tasks, where %d and %d were counted: %w", n, t, m.GetNamespaces(), m.GetTasks(), ErrInvalid)
	}
	for _, r := range s.later {
		p := &r.from.Pins[r.pin]
		var err error
		if p.Mnt, err = s.known("mount namespace of a pin", r.mnt); err != nil {
			return err
		}
		if p.NS, err = s.known("namespace of a pin", r.ns); err != nil {
			return err
		}
	}
	if err := s.graph.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// known returns the namespace of a number, nil of 0.
func (s *decoding) known(what string, number uint32) (*topology.Namespace, error) {
	if number == 0 {
		return nil, nil
	}
	if int64(number) > int64(len(s.graph.Namespaces)) {
		return nil, fmt.Errorf("%s %d, of %d namespaces so far: %w", what, number, len(s.graph.Namespaces), ErrInvalid)
	}
	return s.graph.Namespaces[number-1], nil
}
