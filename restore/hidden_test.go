//go:build linux && (amd64 || arm64)

package restore_test

import (
	"testing"

	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
)

// TestHidden brings net namespaces back of which nothing was left but a socket, one
// with settings, and the user namespace that owned them and nothing else.
func TestHidden(t *testing.T) {
	if inTwo(t) {
		return
	}
	g := box(&topology.Namespace{Type: topology.UTS, UTS: &topology.UTSState{NodeName: "box", DomainName: "(none)"}})
	host, outer := g.Namespaces[0], g.Namespaces[2]
	inner := &topology.Namespace{Type: topology.User, Ino: 20, Owner: outer, Parent: outer, State: topology.Hidden, User: &topology.UserState{
		Setgroups: "deny",
		UIDMap:    []topology.Extent{{Inside: 0, Outside: 0, Count: 1}}, GIDMap: []topology.Extent{{Inside: 0, Outside: 0, Count: 1}},
	}}
	g.Namespaces = append(g.Namespaces, inner,
		&topology.Namespace{Type: topology.Net, Ino: 21, Owner: inner, State: topology.Hidden, Net: &topology.NetState{Loopback: true}},
		&topology.Namespace{Type: topology.Net, Ino: 22, Owner: inner, State: topology.Hidden, Net: &topology.NetState{}},
		&topology.Namespace{Type: topology.Net, Ino: 23, Owner: host, External: true},
	)
	s := execute(t, g, restore.Options{})
	isomorphic(t, "what was restored", g, s.Live)
	tree := commit(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	isomorphic(t, "what stands", g, dumpTree(t, tree.Keeper.PID))
	if err := restore.Remove(tree.Name); err != nil {
		t.Fatal(err)
	}
}
