//go:build linux && (amd64 || arm64)

package restore_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/restore"
	"github.com/renest/renest/test/require"
	"github.com/renest/renest/topology"
	"github.com/renest/renest/topology/topologytest"
)

// TestSettings restores random graphs with settings, looks at the result anew, and
// finds all that was set.
func TestSettings(t *testing.T) {
	if inTwo(t) {
		return
	}
	alsoAsUser(t)
	for seed := range some(5, 50) {
		g := random(seed, topologytest.Options{Tasks: true, Settings: true})
		s := execute(t, g, restore.Options{})
		if notes := settingNotes(s); len(notes) > 0 {
			t.Errorf("seed %d: %q", seed, notes)
		}
		live := dumpTree(t, s.PID())
		isomorphic(t, fmt.Sprintf("seed %d: what was restored", seed), g, live)
		isomorphic(t, fmt.Sprintf("seed %d: what was said to be", seed), g, s.Live)
		for _, n := range g.Namespaces {
			if n.Type == topology.PID && !n.External && n.PID != nil && n.PID.LastPID > 0 {
				if got := counterpart(t, s, live, n).PID.LastPID; got != n.PID.LastPID && got != 0 {
					t.Errorf("seed %d: the last pid of %s is %d, it was %d", seed, n.Name(), got, n.PID.LastPID)
				}
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// settingNotes are the notes about settings.
func settingNotes(s *restore.Standing) []string {
	return slices.DeleteFunc(slices.Clone(s.Notes), func(note string) bool { return strings.Contains(note, "ns_last_pid") })
}

// counterpart returns what stands for n.
func counterpart(t testing.TB, s *restore.Standing, live *topology.Graph, n *topology.Namespace) *topology.Namespace {
	t.Helper()
	for _, b := range s.Bindings {
		if b.Image == n.Name() {
			for _, l := range live.Namespaces {
				if l.Name() == b.Live {
					return l
				}
			}
		}
	}
	t.Fatalf("nothing stands for %s", n.Name())
	return nil
}

// box is a user namespace under that of the host with one other namespace.
func box(n *topology.Namespace) *topology.Graph {
	g := &topology.Graph{Header: topology.Header{Version: 1, Complete: true}}
	host := &topology.Namespace{Type: topology.User, Ino: 1, External: true}
	hostPID := &topology.Namespace{Type: topology.PID, Ino: 2, Owner: host, External: true}
	uid, gid := uint32(os.Geteuid()), uint32(os.Getegid())
	user := &topology.Namespace{Type: topology.User, Ino: 10, Owner: host, Parent: host, User: &topology.UserState{
		OwnerUID: uid, Setgroups: "deny",
		UIDMap: []topology.Extent{{Inside: 0, Outside: uid, Count: 1}}, GIDMap: []topology.Extent{{Inside: 0, Outside: gid, Count: 1}},
	}}
	n.Ino, n.Owner = 11, user
	if n.Type == topology.PID {
		n.Parent = hostPID
	}
	g.Namespaces = []*topology.Namespace{host, hostPID, user, n}
	return g
}

// TestFollowers restores settings that the kernel changes with another: both what
// went along with that and what was changed again.
func TestFollowers(t *testing.T) {
	if inTwo(t) {
		return
	}
	want := topology.Sysctls{
		{Name: "net.ipv4.conf.all.accept_redirects", Value: "1"},
		{Name: "net.ipv4.conf.default.forwarding", Value: "1"},
		{Name: "net.ipv4.conf.lo.forwarding", Value: "0"},
		{Name: "net.ipv4.ip_forward", Value: "1"},
	}
	g := box(&topology.Namespace{Type: topology.Net, Net: &topology.NetState{Loopback: true, Sysctls: want}})
	s := execute(t, g, restore.Options{})
	live := dumpTree(t, s.PID())
	got := counterpart(t, s, live, g.Namespaces[3]).Net
	if !got.Loopback {
		t.Error("lo is down")
	}
	for _, x := range want {
		// Of a host that forwards by default, what is the default is not listed.
		if value, ok := got.Sysctls.Get(x.Name); ok && value != x.Value {
			t.Errorf("%s is %s, it was %s", x.Name, value, x.Value)
		}
	}
}

// TestPIDMax sets a limit where a pid namespace can have one, and never the host's.
func TestPIDMax(t *testing.T) {
	if inTwo(t) {
		return
	}
	before, err := os.ReadFile("/proc/sys/kernel/pid_max")
	if err != nil {
		t.Fatal(err)
	}
	g := box(&topology.Namespace{Type: topology.PID, PID: &topology.PIDState{PIDMax: 1234}})
	s := execute(t, g, restore.Options{})
	live := dumpTree(t, s.PID())
	got := counterpart(t, s, live, g.Namespaces[3]).PID.PIDMax
	switch {
	case got == 1234 && len(s.Notes) == 0:
	case got == 0 && len(s.Notes) == 1 && strings.Contains(s.Notes[0], "pid_max"):
		t.Logf("this kernel has one pid_max for all: %s", s.Notes[0])
	default:
		t.Errorf("pid_max is %d, with the notes %q", got, s.Notes)
	}
	if after, err := os.ReadFile("/proc/sys/kernel/pid_max"); err != nil || string(after) != string(before) {
		t.Errorf("the host's pid_max was %s and is %s (%v)", before, after, err)
	}
}

// TestClockContinues restores the clocks of another host, which is a day older.
func TestClockContinues(t *testing.T) {
	if inTwo(t) {
		return
	}
	then, err := dump.Clocks()
	if err != nil {
		t.Fatal(err)
	}
	back := -then.Boottime.Sec / 2 // and not below zero, however young the host is
	day := topology.Offset{Sec: 86400}
	then.Monotonic, then.Boottime = then.Monotonic.Add(day), then.Boottime.Add(day)
	offsets := topology.TimeState{Monotonic: topology.Offset{Sec: 100, Nsec: 7}, Boottime: topology.Offset{Sec: back, Nsec: 5}}
	for _, mode := range []restore.Clock{restore.ClockContinue, restore.ClockOffset} {
		g := box(&topology.Namespace{Type: topology.Time, Time: &offsets})
		g.Header.Clocks = &then
		o := options()
		o.Clock = mode
		p, err := restore.NewPlan(g, o)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		s, err := restore.Execute(t.Context(), p, restore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		now, err := dump.Clocks()
		if err != nil {
			t.Fatal(err)
		}
		took := topology.DurationOffset(time.Since(start))
		live := counterpart(t, s, s.Live, g.Namespaces[3]).Time
		if mode == restore.ClockOffset && *live != offsets {
			t.Errorf("offsets %v, want %v", live, offsets)
		}
		for _, c := range []struct{ clock, offset, then, was topology.Offset }{
			{now.Monotonic, live.Monotonic, then.Monotonic, offsets.Monotonic}, {now.Boottime, live.Boottime, then.Boottime, offsets.Boottime},
		} {
			// What a process in it is shown, and what it was shown when it was dumped.
			gone := c.clock.Add(c.offset).Sub(c.then.Add(c.was))
			if mode == restore.ClockContinue && (gone.Sec < 0 || took.Sub(gone).Sec < 0) {
				t.Errorf("a clock went on by %v s while %v s went by", gone, took)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestExtents restores maps with as many extents as the kernel takes.
func TestExtents(t *testing.T) {
	require.Root(t) // an ordinary user has one extent
	var many []topology.Extent
	for i := range uint32(topology.MaxExtents) {
		many = append(many, topology.Extent{Inside: 2 * i, Outside: 3 * i, Count: 1})
	}
	g := box(&topology.Namespace{Type: topology.UTS})
	u := g.Namespaces[2].User
	u.UIDMap, u.GIDMap, u.ProjIDMap, u.Setgroups = many, many, many, "allow"
	s := execute(t, g, restore.Options{})
	live := counterpart(t, s, dumpTree(t, s.PID()), g.Namespaces[2]).User
	for what, m := range map[string][]topology.Extent{"uid": live.UIDMap, "gid": live.GIDMap, "projid": live.ProjIDMap} {
		if !slices.Equal(m, many) {
			t.Errorf("%s map: %v", what, m)
		}
	}
}
