package topologytest

import (
	"math/rand/v2"

	"github.com/renest/renest/topology"
)

// Renumbered returns the same topology as another host might have it: a deep
// copy with other inode numbers, ids and pids, in another order. Namespaces are
// not in creation order; SortCreation brings that about.
func Renumbered(rng *rand.Rand, g *topology.Graph) *topology.Graph {
	out := g.Clone()
	inos, ids := rng.Perm(len(out.Namespaces)), rng.Perm(len(out.Namespaces))
	for i, n := range out.Namespaces {
		n.Ino = 4027000000 + uint64(inos[i])
		n.ID = 1_000_000 + uint64(ids[i])
		for _, m := range userMaps(n) {
			rng.Shuffle(len(m), func(i, j int) { m[i], m[j] = m[j], m[i] })
		}
	}
	shift := 10000 + rng.IntN(10000)
	for _, t := range out.Tasks {
		t.PID += shift
		if t.TID != 0 {
			t.TID += shift
		}
		if len(t.NSPID) > 0 {
			t.NSPID[0] += shift
		}
	}
	rng.Shuffle(len(out.Namespaces), func(i, j int) {
		out.Namespaces[i], out.Namespaces[j] = out.Namespaces[j], out.Namespaces[i]
	})
	rng.Shuffle(len(out.Tasks), func(i, j int) { out.Tasks[i], out.Tasks[j] = out.Tasks[j], out.Tasks[i] })
	return out
}

// userMaps returns the maps of a user namespace.
func userMaps(n *topology.Namespace) [][]topology.Extent {
	if n.User == nil {
		return nil
	}
	return [][]topology.Extent{n.User.UIDMap, n.User.GIDMap, n.User.ProjIDMap}
}
