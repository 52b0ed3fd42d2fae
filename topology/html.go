package topology

import (
	"bufio"
	"bytes"
	_ "embed" // the page
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// page is what WriteHTML writes, but for the data in place of its mark.
//
//go:embed tree.html
var page []byte

var pageMark = []byte("{{data}}")

// maxListed bounds how many pins, and how many tasks, the page has of a
// namespace.
const maxListed = 500

// pageData is the data of the page. Edges are positions in the list, and -1 what
// is out of sight.
type pageData struct {
	Title      string   `json:"title"`
	About      string   `json:"about"`
	Missing    []string `json:"missing"`
	Namespaces []pageNS `json:"namespaces"`
}

type pageNS struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"`
	ID       uint64   `json:"id,omitempty"`
	Owner    int32    `json:"owner"`
	Parent   int32    `json:"parent"`
	State    string   `json:"state,omitempty"` // none is active
	External bool     `json:"external,omitempty"`
	Hole     bool     `json:"hole,omitempty"`
	Holds    string   `json:"holds,omitempty"`
	Tasks    []string `json:"tasks,omitempty"`
	Pins     []string `json:"pins,omitempty"`
}

// WriteHTML writes a page about g that needs nothing but a browser: a tree whose
// branches open and close, with a search and the pins of each namespace, for
// mouse, keyboard and screen reader, light or dark as the reader has it. It is one
// file, loads nothing and talks to nobody. By of the options is what it begins
// with; the others have no meaning.
func WriteHTML(w io.Writer, g *Graph, o TreeOptions) error {
	p, err := newPicture(g, o.By, -1)
	if err != nil {
		return fmt.Errorf("draw page: %w", err)
	}
	data, err := json.Marshal(struct {
		pageData
		By string `json:"by"`
	}{newPageData(p, g), map[TreeEdge]string{ByOwner: "owner", ByParent: "parent"}[o.By]})
	if err != nil {
		return fmt.Errorf("draw page: %w", err)
	}
	head, tail, _ := bytes.Cut(page, pageMark)
	b := bufio.NewWriter(w) // keeps the first error until it is flushed
	for _, part := range [][]byte{head, data, tail} {
		_, _ = b.Write(part)
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("draw page: %w", err)
	}
	return nil
}

func newPageData(p *picture, g *Graph) pageData {
	h := &g.Header
	of := "the whole host"
	if h.Root != 0 {
		of = fmt.Sprintf("the tree of pid %d", h.Root)
	}
	d := pageData{
		Title:   strings.TrimSpace("Namespaces of " + h.Hostname),
		About:   fmt.Sprintf("%s, Linux %s, by %s through %s, %s", of, h.Kernel, h.Tool, h.Source, h.Created.Format(time.RFC3339)),
		Missing: list(h.Missing), Namespaces: make([]pageNS, 0, len(g.Namespaces)),
	}
	num := number(g.Namespaces)
	comm := make(map[int]string, len(g.Tasks))
	for _, t := range g.Tasks {
		if !t.thread() {
			comm[t.PID] = t.Comm
		}
	}
	for i, n := range g.Namespaces {
		out := pageNS{
			Name: n.Name(), Type: n.Type.String(), ID: n.ID, Owner: num.owner[i], Parent: num.parent[i],
			External: n.External, Hole: p.members.hole(n),
		}
		if n.State != Active {
			out.State = n.State.String()
		}
		var holds line
		if !n.External {
			holds.holds(n)
		}
		out.Holds = holds.fit(-1, false)
		out.Tasks = atMost(p.members.texts(n))
		for _, pin := range n.Pins {
			if text := pin.text(comm); text != "" {
				out.Pins = append(out.Pins, text)
			}
		}
		out.Pins = atMost(out.Pins)
		d.Namespaces = append(d.Namespaces, out)
	}
	return d
}

// atMost cuts a list short, and says so.
func atMost(list []string) []string {
	if rest := len(list) - maxListed; rest > 0 {
		return append(list[:maxListed:maxListed], fmt.Sprintf("… and %d more", rest))
	}
	return list
}

// text says what a pin is; nothing of those that the tree shows.
func (p Pin) text(comm map[int]string) string {
	who := fmt.Sprintf("pid %d", p.PID)
	if c := comm[p.PID]; c != "" {
		who = fmt.Sprintf("%s %d", printable(c), p.PID)
	}
	if p.TID != 0 && p.TID != p.PID {
		who += fmt.Sprintf(", thread %d", p.TID)
	}
	switch p.Kind {
	case PinTask:
		return "task " + who
	case PinThread:
		return "thread of " + who
	case PinPIDForChildren, PinTimeForChildren:
		return "children to come of " + who
	case PinFD:
		return fmt.Sprintf("descriptor %d of %s", p.FD, who)
	case PinSocket:
		return fmt.Sprintf("socket, descriptor %d of %s", p.FD, who)
	case PinInFlight:
		return fmt.Sprintf("in a message that waits in descriptor %d of %s", p.FD, who)
	case PinBind:
		where := "a mount namespace out of sight"
		if p.Mnt != nil {
			where = p.Mnt.Name()
		}
		return fmt.Sprintf("bind mount %s in %s", printable(p.Path), where)
	}
	return ""
}
