//go:build linux

package dump

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// TestProcesses dumps a tree of which it is told who belongs to it, and wants those
// and no other.
func TestProcesses(t *testing.T) {
	root := fork(t, nest(t), nsfs.User|nsfs.UTS)
	named, other := fork(t, root, nsfs.User|nsfs.UTS), fork(t, root, nsfs.User|nsfs.UTS)
	g, err := Tree(t.Context(), root.PID(), Options{Source: Proc, NoState: true, NoBinds: true, Processes: []int{named.PID(), named.PID()}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[int]int{}
	for _, task := range g.Tasks {
		got[task.PID]++
	}
	if diff := cmp.Diff(map[int]int{root.PID(): 1, named.PID(): 1}, got); diff != "" {
		t.Errorf("tasks, of which %d is not wanted (-want +got):\n%s", other.PID(), diff)
	}
	own := 0
	for _, n := range g.Namespaces {
		if n.Type == topology.UTS && !n.External {
			own++
		}
	}
	if own != 2 {
		t.Errorf("%d UTS namespaces, want 2", own)
	}
}
