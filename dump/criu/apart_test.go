//go:build linux

package criu

import (
	"testing"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// TestUnmapped has a process in a user namespace two levels deep, whose ids 0 to 9 are
// 1100 to 1109 to the observer.
func TestUnmapped(t *testing.T) {
	ids := func(all uint32) [4]uint32 { return [4]uint32{all, all, all, all} }
	maps := func(outside, count uint32) *topology.UserState {
		m := []topology.Extent{{Outside: outside, Count: count}}
		return &topology.UserState{UIDMap: m, GIDMap: m, Setgroups: "allow"}
	}
	host := &topology.Namespace{Type: topology.User, External: true}
	outer := &topology.Namespace{Type: topology.User, Owner: host, User: maps(1000, 500)}
	for name, test := range map[string]struct {
		status nsfs.Status
		groups []uint32
		deny   bool
		want   string
	}{
		"mapped":         {nsfs.Status{UID: ids(1100), GID: ids(1109)}, []uint32{1100, 1101}, false, ""},
		"no groups":      {nsfs.Status{UID: ids(1100), GID: ids(1109)}, nil, true, ""},
		"uid":            {nsfs.Status{UID: ids(1110), GID: ids(1109)}, nil, false, "its uid, 1110, is not mapped there"},
		"gid":            {nsfs.Status{UID: ids(1100), GID: ids(0)}, nil, false, "one of its groups, 0, is not mapped there"},
		"groups":         {nsfs.Status{UID: ids(1100), GID: ids(1100)}, []uint32{1100, 27}, false, "one of its groups, 27, is not mapped there"},
		"groups, denied": {nsfs.Status{UID: ids(1100), GID: ids(1100)}, []uint32{1100}, true, "it has supplementary groups, and setgroups(2) is denied there"},
	} {
		t.Run(name, func(t *testing.T) {
			n := &topology.Namespace{Type: topology.User, Owner: outer, User: maps(100, 10)}
			if test.deny {
				n.User.Setgroups = "deny"
			}
			if got := unmapped(n, &test.status, test.groups); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
	if got := unmapped(&topology.Namespace{Owner: outer}, new(nsfs.Status), nil); got == "" {
		t.Error("maps that are not known are taken for good")
	}
}

func TestGroupsIn(t *testing.T) {
	got := groupsIn("Gid:\t0\t0\t0\t0\nFDSize:\t64\nGroups:\t4 20 4294967294 \nNStgid:\t9\n")
	if len(got) != 3 || got[0] != 4 || got[2] != 4294967294 {
		t.Errorf("groups %v", got)
	}
	if got := groupsIn("Groups:\t \nNStgid:\t9\n"); len(got) != 0 {
		t.Errorf("groups %v of none", got)
	}
}
