package images

import (
	"bufio"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"

	pb "github.com/renest/renest/images/internal/nstreepb"
	"github.com/renest/renest/topology"
)

// Encode writes an image of g to w. What Decode would refuse is refused here,
// before the writing or in its midst: after an error the bytes that w got are
// no image. Header.Version may be left out.
func Encode(w io.Writer, g *topology.Graph) error {
	buffered := bufio.NewWriterSize(w, 64<<10)
	e := encoder{frames: frameWriter{w: buffered}, numbers: make(map[*topology.Namespace]uint32, len(g.Namespaces))}
	for i, n := range g.Namespaces {
		e.numbers[n] = uint32(i + 1)
	}
	err := e.graph(g)
	if err == nil {
		err = buffered.Flush()
	}
	if err != nil {
		return fmt.Errorf("encode image: %w", err)
	}
	return nil
}

type encoder struct {
	frames  frameWriter
	numbers map[*topology.Namespace]uint32 // from 1
	written uint32                         // namespaces
}

func (e *encoder) graph(g *topology.Graph) error {
	if v := g.Header.Version; v != 0 && v != Version {
		return fmt.Errorf("graph of version %d, this renest writes %d: %w", v, Version, ErrVersion)
	}
	if err := g.Validate(); err != nil {
		return err
	}
	if err := e.frames.magics(); err != nil {
		return err
	}
	if err := e.header(&g.Header); err != nil {
		return fmt.Errorf("header: %w", err)
	}
	for _, n := range g.Namespaces {
		if err := e.namespace(n); err != nil {
			return fmt.Errorf("%s: %w", n.Name(), err)
		}
	}
	for i, t := range g.Tasks {
		if err := checkOrder(g.Tasks[:i], t); err != nil {
			return err
		}
		if err := e.task(t); err != nil {
			return fmt.Errorf("task %d: %w", t.TID, err)
		}
	}
	end := &pb.End{Namespaces: e.written, Tasks: uint32(len(g.Tasks))}
	return e.frames.entry(&pb.Entry{Kind: &pb.Entry_End{End: end}}, maxEntry)
}

func (e *encoder) header(h *topology.Header) error {
	if err := checkHeader(h); err != nil {
		return err
	}
	if err := e.frames.entry(&pb.Entry{Kind: &pb.Entry_Header{Header: packHeader(h)}}, maxHeader); err != nil {
		return err
	}
	e.frames.headerDone()
	return nil
}

// namespace writes n, with as many of its pins as an entry should hold, and the
// others behind it.
func (e *encoder) namespace(n *topology.Namespace) error {
	if err := checkNamespace(n); err != nil {
		return err
	}
	m := packNamespace(n)
	var err error
	if m.Owner, err = e.earlier("owner", n.Owner); err != nil {
		return err
	}
	if m.Parent, err = e.earlier("parent", n.Parent); err != nil {
		return err
	}
	e.written++
	var rest []topology.Pin
	if m.Pins, rest, err = e.pins(n.Pins); err != nil {
		return err
	}
	if err := e.frames.entry(&pb.Entry{Kind: &pb.Entry_Namespace{Namespace: m}}, maxEntry); err != nil {
		return err
	}
	for len(rest) > 0 {
		more := new(pb.Pins)
		if more.Pins, rest, err = e.pins(rest); err != nil {
			return err
		}
		if err := e.frames.entry(&pb.Entry{Kind: &pb.Entry_Pins{Pins: more}}, maxEntry); err != nil {
			return err
		}
	}
	return nil
}

// pins packs as many pins as an entry should hold and returns the rest.
func (e *encoder) pins(pins []topology.Pin) (packed []*pb.Pin, rest []topology.Pin, err error) {
	for size := 0; size < splitPins && len(pins) > 0; pins = pins[1:] {
		p := packPin(&pins[0])
		if p.Mnt, err = e.number("mount namespace of a pin", pins[0].Mnt); err != nil {
			return nil, nil, err
		}
		if p.Ns, err = e.number("namespace of a pin", pins[0].NS); err != nil {
			return nil, nil, err
		}
		packed = append(packed, p)
		size += proto.Size(p)
	}
	return packed, pins, nil
}

func (e *encoder) task(t *topology.Task) error {
	if err := checkTask(t); err != nil {
		return err
	}
	m := packTask(t)
	for i, n := range t.Namespaces {
		number, err := e.number(topology.Link(i).String(), n)
		if err != nil {
			return err
		}
		if number == 0 {
			continue
		}
		for len(m.Namespaces) < i {
			m.Namespaces = append(m.Namespaces, 0)
		}
		m.Namespaces = append(m.Namespaces, number)
	}
	return e.frames.entry(&pb.Entry{Kind: &pb.Entry_Task{Task: m}}, maxEntry)
}

// number returns the number of a namespace of the graph, 0 of none.
func (e *encoder) number(what string, n *topology.Namespace) (uint32, error) {
	if n == nil {
		return 0, nil
	}
	number := e.numbers[n]
	if number == 0 {
		return 0, fmt.Errorf("%s %s is not in the graph: %w", what, n.Name(), ErrInvalid)
	}
	return number, nil
}

// earlier returns the number of a namespace that must be written by now.
func (e *encoder) earlier(what string, n *topology.Namespace) (uint32, error) {
	number, err := e.number(what, n)
	if err == nil && number > e.written {
		err = fmt.Errorf("%s %s does not come first: %w", what, n.Name(), ErrInvalid)
	}
	return number, err
}
