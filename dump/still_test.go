//go:build linux

package dump

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// A tree that stands still is dumped at one look, with all that more of them find.
func TestStill(t *testing.T) {
	asUser(t)
	root := nest(t)
	outer := fork(t, root, nsfs.User|nsfs.IPC|nsfs.Net|nsfs.UTS)
	inner := fork(t, fork(t, outer, nsfs.PID), nsfs.User|nsfs.Net)
	set(t, inner, topology.Sysctls{{Name: "net.core.somaxconn", Value: "77"}})
	for name, o := range map[string]Options{
		"all":         {},
		"offspring":   {Offspring: true},
		"no settings": {Offspring: true, NoSysctls: true},
		"no state":    {Offspring: true, NoState: true},
	} {
		t.Run(name, func(t *testing.T) {
			want, err := Tree(t.Context(), outer.PID(), o)
			if err != nil {
				t.Fatal(err)
			}
			o.Still = true
			got, err := Tree(t.Context(), outer.PID(), o)
			if err != nil {
				t.Fatal(err)
			}
			wantComplete(t, got)
			want.Header.Created, want.Header.Clocks = got.Header.Created, got.Header.Clocks
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	// What a fresh net namespace has is found out once.
	var fresh FreshNet
	first, err := Tree(t.Context(), outer.PID(), Options{Fresh: &fresh})
	if err != nil || len(fresh.Sysctls) == 0 {
		t.Fatalf("%v, %d settings", err, len(fresh.Sysctls))
	}
	again, err := Tree(t.Context(), outer.PID(), Options{Fresh: &fresh, Still: true})
	if err != nil {
		t.Fatal(err)
	}
	first.Header.Created, first.Header.Clocks = again.Header.Created, again.Header.Clocks
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("with what was known (-first +again):\n%s", diff)
	}
	fresh.Sysctls["net.core.somaxconn"] = "not a number"
	if fresh.known() != nil {
		t.Error("what is no setting is taken for one")
	}
	// What is made ready is not always needed.
	if _, err := Tree(t.Context(), root.PID(), Options{Still: true, NoBinds: true}); err != nil {
		t.Error(err)
	}
}
