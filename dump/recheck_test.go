//go:build linux

package dump

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/test/require"
	"github.com/renest/renest/topology"
)

// TestRecheck has a namespace end, and its number go to another, between the
// reading of two tasks: as they say they share it.
func TestRecheck(t *testing.T) {
	asUser(t)
	require.That(t, "nsid", nsfs.HaveNSID(testProc(t)))
	root := nest(t)
	a := fork(t, root, nsfs.User|nsfs.UTS)
	b := fork(t, a, 0)
	hostname(t, a, "recheck")
	var wrong *node
	g, err := run(t.Context(), Options{}, func(d *dumper) error {
		d.root = root.PID()
		if err := d.scanTree(d.root); err != nil {
			return err
		}
		for _, task := range d.tasks {
			if d.look == 1 && task.pid == b.PID() {
				wrong = task.nodes[nsfs.InUTS]
				wrong.id++ // it was another
				wrong.owner = nil
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantComplete(t, g)
	if err := g.Validate(); err != nil {
		t.Error(err)
	}
	uts := own(g, topology.UTS)
	if len(uts) != 1 || uts[0].UTS == nil || uts[0].UTS.NodeName != "recheck" || uts[0].ID == uint64(wrong.id) {
		t.Fatalf("uts namespaces: %+v", uts)
	}
	want := []topology.Pin{{Kind: topology.PinTask, PID: a.PID()}, {Kind: topology.PinTask, PID: b.PID()}}
	if diff := cmp.Diff(want, uts[0].Pins); diff != "" {
		t.Errorf("pins (-want +got):\n%s", diff)
	}
}
