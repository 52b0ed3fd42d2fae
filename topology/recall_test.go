package topology_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	. "github.com/renest/renest/topology"
)

// TestRecall: what a look could not read is no change, and what it could read is one.
func TestRecall(t *testing.T) {
	settle := func(x *nest) *Graph {
		x.net.Net = &NetState{Loopback: true}
		x.mnt.ID = 7
		x.g.Header.BootID = "one"
		return x.g
	}
	earlier := settle(newNest())
	x := newNest()
	g := settle(x)
	x.a.User, x.uts.UTS, x.time.Time, x.net.Net, x.pidA.PID = nil, nil, nil, nil, nil
	x.c.Owner, x.c.Parent, x.pidC.Parent, x.net.Owner, x.mnt.Owner = nil, nil, nil, nil, nil
	changes := func() []string {
		t.Helper()
		list, err := Diff(earlier, g, DiffOptions{Identity: true})
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, c := range list {
			lines = append(lines, c.String())
		}
		return lines
	}
	if n := len(changes()); n == 0 {
		t.Error("there is nothing to recall")
	}
	x.b.User.UIDMap = []Extent{{0, 7, 1}}
	x.mnt.ID = 8 // another by the same number
	want := []string{
		"changed user:[11]: uid map 0→300000+1000 → 0→7+1",
		"removed mnt:[33], owned by user:[10]",
		"added mnt:[33], owned by out of sight",
	}
	g.Recall(earlier)
	if diff := cmp.Diff(want, changes()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
