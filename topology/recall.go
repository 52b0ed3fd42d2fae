package topology

// identity is the same for two looks at one namespace, within one boot of a host.
type identity struct {
	t    Type
	id   uint64
	real bool // an id that is never given twice
}

func identityOf(n *Namespace) identity {
	if n.ID != 0 {
		return identity{n.Type, n.ID, true}
	}
	return identity{n.Type, n.Ino, false}
}

// Recall fills in from an earlier look at the same host, within one boot of it, what
// could not be read this time of namespaces that are still there. A namespace that
// ends while somebody looks can be found and not be read any more: what it was is no
// other for that.
func (g *Graph) Recall(earlier *Graph) {
	before := make(map[identity]*Namespace, len(earlier.Namespaces))
	for _, n := range earlier.Namespaces {
		before[identityOf(n)] = n
	}
	here := make(map[identity]*Namespace, len(g.Namespaces))
	for _, n := range g.Namespaces {
		here[identityOf(n)] = n
	}
	edge := func(to **Namespace, was *Namespace) {
		if *to == nil && was != nil {
			*to = here[identityOf(was)] // nil where that was not found again
		}
	}
	for _, n := range g.Namespaces {
		was := before[identityOf(n)]
		if was == nil {
			continue
		}
		edge(&n.Owner, was.Owner)
		edge(&n.Parent, was.Parent)
		recall(&n.User, was.User)
		recall(&n.UTS, was.UTS)
		recall(&n.IPC, was.IPC)
		recall(&n.Net, was.Net)
		recall(&n.Time, was.Time)
		recall(&n.Cgroup, was.Cgroup)
		recall(&n.PID, was.PID)
	}
}

func recall[T any](state **T, was *T) {
	if *state == nil {
		*state = was
	}
}
