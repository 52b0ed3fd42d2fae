//go:build linux

package dump

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/test/require"
	"github.com/renest/renest/topology"
)

// TestOutline compares an outline of the host with a dump of it, namespace by
// namespace, for those of a nest that stands still.
func TestOutline(t *testing.T) {
	list, err := Outline(t.Context())
	if have := nsfs.HaveListns(); have != nil {
		if err == nil {
			t.Errorf("%d namespaces without listns(2)", len(list))
		}
		require.That(t, "listns", have)
	}
	require.Root(t)
	hold(t, nest(t), 3, nsfs.User|nsfs.PID|nsfs.UTS|nsfs.IPC|nsfs.Mnt)
	if list, err = Outline(t.Context()); err != nil {
		t.Fatal(err)
	}
	g, err := All(t.Context(), Options{NoState: true})
	if err != nil {
		t.Fatal(err)
	}
	outlined := map[uint64]Outlined{}
	for _, n := range list {
		outlined[n.ID] = n
	}
	compared := 0
	for _, n := range g.Namespaces {
		if n.State != topology.Active || n.Owner == nil || outlined[n.ID].ID == 0 {
			continue // gone, or come, in between
		}
		if diff := cmp.Diff(Outlined{n.ID, n.Type, n.Owner.ID}, outlined[n.ID]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", n.Name(), diff)
		}
		compared++
	}
	if compared < 15 {
		t.Errorf("%d namespaces compared, of %d in the outline and %d in the dump", compared, len(list), len(g.Namespaces))
	}
}
