//go:build linux

package criu

import (
	"testing"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// TestSettable has a process in a user namespace two levels deep, whose ids 0 to 9 are
// 1100 to 1109 to the observer.
func TestSettable(t *testing.T) {
	ids := func(all uint32) [4]uint32 { return [4]uint32{all, all, all, all} }
	user := func(owner *topology.Namespace, outside, count uint32, setgroups string) *topology.Namespace {
		m := []topology.Extent{{Outside: outside, Count: count}}
		return &topology.Namespace{Type: topology.User, Owner: owner, User: &topology.UserState{UIDMap: m, GIDMap: m, Setgroups: setgroups}}
	}
	outer := user(&topology.Namespace{Type: topology.User, External: true}, 1000, 500, "allow")
	inner, denied := user(outer, 100, 10, "allow"), user(outer, 100, 10, "deny")
	good := func(groups ...uint32) nsfs.Status {
		return nsfs.Status{UID: ids(1100), GID: ids(1109), Groups: groups}
	}
	for name, test := range map[string]struct {
		in     *topology.Namespace
		status nsfs.Status
		want   string
	}{
		"mapped":         {inner, good(1100, 1101), ""},
		"denied":         {denied, good(), ""},
		"uid":            {inner, nsfs.Status{UID: ids(1110), GID: ids(1109)}, "uid 1110 is not mapped there"},
		"gid":            {inner, nsfs.Status{UID: ids(1100), GID: ids(0)}, "gid 0 is not mapped there"},
		"groups":         {inner, good(1100, 27), "the supplementary group 27 is not mapped there"},
		"denied, groups": {denied, good(1100), "it has supplementary groups, and setgroups(2) is denied there"},
		"unknown":        {&topology.Namespace{Type: topology.User, Owner: outer}, good(), "its maps could not be read"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := settable(test.in, &test.status); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}
