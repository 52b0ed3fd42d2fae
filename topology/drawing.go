package topology

// drawing is a picture as nodes and arrows, for a program that lays them out.
type drawing struct {
	nodes  []node
	arrows []arrow
}

// node is a namespace, or text in place of several.
type node struct {
	ns   *Namespace // nil for text
	rows []string
}

// arrow leads down from one node to another, by their numbers.
type arrow struct {
	from, to int
	kind     arrowKind
}

type arrowKind uint8

const (
	along  arrowKind = iota // the edge by which the picture is drawn
	across                  // from a parent pid namespace, where that is not it
	about                   // to text
)

// rowWidth bounds how much a node says in a row.
const rowWidth = 44

// newDrawing turns a picture into nodes and arrows. No row is empty.
func newDrawing(g *Graph, o TreeOptions) (*drawing, error) {
	p, err := newPicture(g, o.By, o.Fold)
	if err != nil {
		return nil, err
	}
	d := &drawing{}
	at := make(map[*Namespace]int)
	var grow func(up int, list []*twig)
	grow = func(up int, list []*twig) {
		for _, b := range list {
			i := len(d.nodes)
			d.nodes = append(d.nodes, node{ns: b.ns})
			kind := along
			if b.ns == nil {
				kind = about
				d.nodes[i].rows = []string{b.text}
			} else {
				at[b.ns] = i
			}
			if up >= 0 {
				d.arrows = append(d.arrows, arrow{up, i, kind})
			}
			grow(i, b.below) // newPicture bounds the depth
		}
	}
	grow(-1, p.roots)
	for i := range d.nodes {
		n := d.nodes[i].ns
		if n == nil {
			continue
		}
		above, drawn := at[n.Parent]
		drawn = drawn && p.by == ByOwner && n.Type == PID
		if drawn {
			d.arrows = append(d.arrows, arrow{above, i, across})
		}
		d.nodes[i].rows = p.rows(n, o.IDs, drawn)
	}
	return d, nil
}

// rows returns what is said of a namespace, row by row.
func (p *picture) rows(n *Namespace, ids, related bool) []string {
	list := []line{heading(n, ids)}
	if relation := p.relation(n); relation != "" && !related && !n.External {
		list = append(list, line{{items: []string{relation}}})
	}
	var holds line
	if !n.External {
		holds.holds(n)
	}
	list = append(list, holds, p.tenants(n))
	var rows []string
	for _, l := range list {
		if len(l) > 0 {
			rows = append(rows, l.fit(rowWidth, false))
		}
	}
	return rows
}
