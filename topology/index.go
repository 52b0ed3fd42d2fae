package topology

// Index answers questions that a [Graph] alone answers slowly. It is a picture
// of the graph at the time of the call to [Graph.Index]; a change to the graph
// is not seen.
type Index struct {
	num      *numbered
	byName   map[name]int32
	owned    adjacency
	children adjacency
}

// name is what names a namespace within a graph.
type name struct {
	t   Type
	ino uint64
}

// Index indexes g. It takes any graph, valid or not, that has no nil namespace.
func (g *Graph) Index() *Index {
	num := number(g.Namespaces)
	x := &Index{num: num, byName: make(map[name]int32, len(num.ns))}
	for i, n := range num.ns {
		x.byName[name{n.Type, n.Ino}] = int32(i)
	}
	x.owned = num.reverse(num.owner)
	x.children = num.reverse(num.parent)
	return x
}

// Lookup returns the namespace of that name, nil where there is none.
func (x *Index) Lookup(t Type, ino uint64) *Namespace {
	if i, ok := x.byName[name{t, ino}]; ok {
		return x.num.ns[i]
	}
	return nil
}

// Contains reports whether n itself is in the graph.
func (x *Index) Contains(n *Namespace) bool {
	_, ok := x.num.at[n]
	return ok
}

// Owned returns the namespaces that n owns, in the graph's order. Those are
// also the user namespaces below it, as with listns(2), but not what they own.
func (x *Index) Owned(n *Namespace) []*Namespace { return x.list(x.owned, n) }

// Children returns the namespaces whose parent is n, in the graph's order.
func (x *Index) Children(n *Namespace) []*Namespace { return x.list(x.children, n) }

func (x *Index) list(a adjacency, n *Namespace) []*Namespace {
	i, ok := x.num.at[n]
	if !ok {
		return nil
	}
	var out []*Namespace
	for _, j := range a.of(i) {
		out = append(out, x.num.ns[j])
	}
	return out
}

// nowhere and outside stand for an edge that is nil, and for one that leads to
// a namespace which is not in the graph.
const (
	nowhere int32 = -1
	outside int32 = -2
)

// numbered is a list of namespaces with the edges as positions in it: what has
// to walk the whole graph does so without following pointers that an image
// chose, and without recursion.
type numbered struct {
	ns            []*Namespace
	at            map[*Namespace]int32
	owner, parent []int32
}

func number(list []*Namespace) *numbered {
	num := &numbered{
		ns:     list,
		at:     make(map[*Namespace]int32, len(list)),
		owner:  make([]int32, len(list)),
		parent: make([]int32, len(list)),
	}
	for i, n := range list {
		num.at[n] = int32(i)
	}
	for i, n := range list {
		num.owner[i] = num.position(n.Owner)
		num.parent[i] = num.position(n.Parent)
	}
	return num
}

func (num *numbered) position(n *Namespace) int32 {
	if n == nil {
		return nowhere
	}
	if i, ok := num.at[n]; ok {
		return i
	}
	return outside
}

// adjacency holds a list of positions for each node, all in one array.
type adjacency struct {
	start []int32 // of node i's list in items; one longer than there are nodes
	items []int32
}

func (a adjacency) of(i int32) []int32 { return a.items[a.start[i]:a.start[i+1]] }

// reverse turns edges upwards into lists downwards, each in the graph's order.
func (num *numbered) reverse(edges ...[]int32) adjacency {
	a := adjacency{start: make([]int32, len(num.ns)+1)}
	for _, up := range edges {
		for _, j := range up {
			if j >= 0 {
				a.start[j+1]++
			}
		}
	}
	for i := range num.ns {
		a.start[i+1] += a.start[i]
	}
	a.items = make([]int32, a.start[len(num.ns)])
	next := append([]int32(nil), a.start...)
	for i := range num.ns {
		for _, up := range edges {
			if j := up[i]; j >= 0 {
				a.items[next[j]] = int32(i)
				next[j]++
			}
		}
	}
	return a
}

// topological returns the positions so that what an edge leads to comes before
// what it comes from, and how many such edges each position still waits for:
// those above zero are in a cycle, or below one.
func (num *numbered) topological() (order, waits []int32) {
	waits = make([]int32, len(num.ns))
	order = make([]int32, 0, len(num.ns))
	for i := range num.ns {
		waits[i] = num.edges(i)
		if waits[i] == 0 {
			order = append(order, int32(i))
		}
	}
	down := num.reverse(num.owner, num.parent)
	for k := 0; k < len(order); k++ {
		for _, j := range down.of(order[k]) {
			if waits[j]--; waits[j] == 0 {
				order = append(order, j)
			}
		}
	}
	return order, waits
}

// edges counts the edges of node i that stay in the graph.
func (num *numbered) edges(i int) int32 {
	var n int32
	if num.owner[i] >= 0 {
		n++
	}
	if num.parent[i] >= 0 {
		n++
	}
	return n
}

// cycle returns the positions around one cycle, given what topological left
// waiting; nil where nothing is.
func (num *numbered) cycle(waits []int32) []int32 {
	at := nowhere
	for i, w := range waits {
		if w > 0 {
			at = int32(i)
			break
		}
	}
	if at == nowhere {
		return nil
	}
	// Whatever waits, waits for something that waits: going up ends in a cycle.
	seen := map[int32]int{}
	var path []int32
	for {
		if k, ok := seen[at]; ok {
			return path[k:]
		}
		seen[at] = len(path)
		path = append(path, at)
		if up := num.owner[at]; up >= 0 && waits[up] > 0 {
			at = up
		} else {
			at = num.parent[at]
		}
	}
}
