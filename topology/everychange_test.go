package topology_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	. "github.com/renest/renest/topology"
	"github.com/renest/renest/topology/topologytest"
)

// change is one way to make a topology another. It reports false where the
// graph has nothing that it could change.
type change struct {
	name string
	do   func(rng *rand.Rand, g *Graph) bool
}

// one returns a namespace that is not external and that ok accepts.
func one(rng *rand.Rand, g *Graph, ok func(n *Namespace) bool) *Namespace {
	var list []*Namespace
	for _, n := range g.Namespaces {
		if !n.External && ok(n) {
			list = append(list, n)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[rng.IntN(len(list))]
}

func ofType(t Type) func(*Namespace) bool {
	return func(n *Namespace) bool { return n.Type == t }
}

var changes = []change{
	{"uid map", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, func(n *Namespace) bool { return n.Type == User && len(n.User.UIDMap) > 0 })
		if n != nil {
			n.User.UIDMap[0].Count++
		}
		return n != nil
	}},
	{"gid map", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, ofType(User))
		if n != nil {
			n.User.GIDMap = append(n.User.GIDMap, Extent{1 << 30, 1 << 30, 1})
		}
		return n != nil
	}},
	{"creator", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, ofType(User))
		if n != nil {
			n.User.OwnerUID++
		}
		return n != nil
	}},
	{"setgroups", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, ofType(User))
		if n != nil {
			n.User.Setgroups += "?"
		}
		return n != nil
	}},
	{"maps unread", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, ofType(User))
		if n != nil {
			n.User = nil
		}
		return n != nil
	}},
	{"host name", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, ofType(UTS))
		if n != nil {
			n.UTS.NodeName += "!"
		}
		return n != nil
	}},
	{"domain name", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, ofType(UTS))
		if n != nil {
			n.UTS.DomainName += "!"
		}
		return n != nil
	}},
	{"names unread", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, ofType(UTS))
		if n != nil {
			n.UTS = nil
		}
		return n != nil
	}},
	{"offset", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, ofType(Time))
		if n != nil {
			n.Time.Boottime.Nsec ^= 1
		}
		return n != nil
	}},
	{"state", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, func(*Namespace) bool { return true })
		n.State ^= Hidden
		return true
	}},
	{"removed", func(rng *rand.Rand, g *Graph) bool {
		used := map[*Namespace]bool{}
		for _, n := range g.Namespaces {
			used[n.Owner], used[n.Parent] = true, true
		}
		n := one(rng, g, func(n *Namespace) bool { return !used[n] })
		g.Namespaces = slices.DeleteFunc(g.Namespaces, func(o *Namespace) bool { return o == n })
		g.Tasks = nil
		return true
	}},
	{"added", func(rng *rand.Rand, g *Graph) bool {
		up := one(rng, g, ofType(User))
		g.Namespaces = append(g.Namespaces, &Namespace{Type: Net, Ino: 1, Owner: up})
		return true
	}},
	{"owner out of sight", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, func(n *Namespace) bool { return n.Type != User })
		if n != nil {
			n.Owner = nil
		}
		return n != nil
	}},
	{"owner out of the tree", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, func(n *Namespace) bool { return n.Type != User && !n.Owner.External })
		if n != nil {
			n.Owner = g.Namespaces[slices.IndexFunc(g.Namespaces, func(n *Namespace) bool { return n.External && n.Type == User })]
		}
		return n != nil
	}},
	{"pid parent one up", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, func(n *Namespace) bool { return n.Type == PID && !n.Parent.External })
		if n != nil {
			n.Parent = n.Parent.Parent
		}
		return n != nil
	}},
	{"user parent one up", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, func(n *Namespace) bool { return n.Type == User && !n.Parent.External })
		if n != nil {
			n.Owner, n.Parent = n.Parent.Parent, n.Parent.Parent
		}
		return n != nil
	}},
	{"owner one down", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, func(n *Namespace) bool {
			return n.Type != User && n.Type != PID && one(rng, g, childOf(n.Owner)) != nil
		})
		if n != nil {
			n.Owner = one(rng, g, childOf(n.Owner))
		}
		return n != nil
	}},
	{"external", func(rng *rand.Rand, g *Graph) bool {
		n := one(rng, g, func(n *Namespace) bool { return n.Owner.External && n.Type != User && n.Type != PID })
		if n != nil {
			n.External = true
		}
		return n != nil
	}},
	{"task elsewhere", func(rng *rand.Rand, g *Graph) bool {
		if len(g.Tasks) == 0 {
			return false
		}
		task := g.Tasks[rng.IntN(len(g.Tasks))]
		task.Namespaces[InNet] = nil
		return true
	}},
	{"task one level up", func(rng *rand.Rand, g *Graph) bool {
		if len(g.Tasks) == 0 {
			return false
		}
		task := g.Tasks[rng.IntN(len(g.Tasks))]
		task.NSPID = task.NSPID[1:]
		return true
	}},
	{"task gone", func(rng *rand.Rand, g *Graph) bool {
		if len(g.Tasks) == 0 {
			return false
		}
		g.Tasks = slices.Delete(g.Tasks, 0, 1)
		return true
	}},
	{"thread leaves", func(rng *rand.Rand, g *Graph) bool {
		if len(g.Tasks) == 0 {
			return false
		}
		thread := *g.Tasks[rng.IntN(len(g.Tasks))]
		thread.TID++
		g.Tasks = append(g.Tasks, &thread)
		return true
	}},
}

func childOf(u *Namespace) func(*Namespace) bool {
	return func(n *Namespace) bool { return n.Type == User && n.Parent == u }
}

// TestEveryChangeIsNoticed makes one change at a time. None of them gives back
// the same topology, whatever the graph: each alters how many namespaces there
// are of some kind, or at some depth.
func TestEveryChangeIsNoticed(t *testing.T) {
	for _, c := range changes {
		t.Run(c.name, func(t *testing.T) {
			made := 0
			for seed := range uint64(200) {
				rng := rand.New(rand.NewPCG(seed, 11))
				a := topologytest.Random(rng, topologytest.Options{Tasks: true})
				b := topologytest.Renumbered(rng, a)
				if !c.do(rng, b) {
					continue
				}
				made++
				_, err := Isomorphic(a, b, withTasks)
				var d *Difference
				if !errors.As(err, &d) {
					t.Fatalf("seed %d: not noticed, %v", seed, err)
				}
				if len(d.First)+len(d.Second) == 0 || strings.Contains(d.Error(), ": (") || strings.HasSuffix(d.Error(), ": ") {
					t.Errorf("seed %d: not described: %v", seed, d)
				}
				if _, back := Isomorphic(b, a, withTasks); !errors.As(back, &d) {
					t.Fatalf("seed %d: not noticed the other way: %v", seed, back)
				}
			}
			if made < 20 {
				t.Errorf("made in %d of 200 graphs", made)
			}
		})
	}
}
