package topology

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCanJoin(t *testing.T) {
	f := newFamily()
	mntA := &Namespace{Type: Mnt, Ino: 1, Owner: f.a}
	timeA := &Namespace{Type: Time, Ino: 1, Owner: f.a}
	hidden := &Namespace{Type: UTS, Ino: 1}
	root := Credentials{User: f.top, Effective: AllCaps}
	user := Credentials{User: f.top, EUID: 1000}
	inA := Credentials{User: f.a, EUID: 101000, Effective: AllCaps}
	lacks := func(c Cap, over *Namespace, own bool) Lack { return Lack{Kind: LackCap, Cap: c, Over: over, Own: own} }
	adminOwn, chrootOwn := lacks(CapSysAdmin, f.top, true), lacks(CapSysChroot, f.top, true)
	tests := map[string]struct {
		j      Joiner
		target *Namespace
		want   Join
	}{
		"root, net":                  {Joiner{root, f.pid, 1}, f.netAA, Join{OK: true}},
		"root, mnt":                  {Joiner{root, f.pid, 1}, mntA, Join{OK: true}},
		"root with threads, mnt":     {Joiner{root, f.pid, 2}, mntA, Join{OK: true, UnshareFS: true}},
		"root, user":                 {Joiner{root, f.pid, 1}, f.a, Join{OK: true}},
		"root with threads, user":    {Joiner{root, f.pid, 2}, f.a, Join{Missing: []Lack{{Kind: LackSingle}}}},
		"root with threads, time":    {Joiner{root, f.pid, 2}, timeA, Join{Missing: []Lack{{Kind: LackSingle}}}},
		"root, threads unknown":      {Joiner{root, f.pid, 0}, timeA, Join{Missing: []Lack{{Kind: LackKnowledge}}, Unsure: true}},
		"root, its own user":         {Joiner{root, f.pid, 1}, f.top, Join{Missing: []Lack{{Kind: LackOther}}}},
		"root, its own pid":          {Joiner{root, f.pid, 1}, f.pid, Join{OK: true}},
		"root, a pid below":          {Joiner{root, f.pid, 1}, f.pidAA, Join{OK: true}},
		"root in a pid, the outer":   {Joiner{root, f.pidA, 1}, f.pid, Join{Missing: []Lack{{Kind: LackBelow}}}},
		"root in a pid, another":     {Joiner{root, f.pidA, 1}, f.pidB, Join{Missing: []Lack{{Kind: LackBelow}}}},
		"root, pid unknown":          {Joiner{root, nil, 1}, f.pidA, Join{Missing: []Lack{{Kind: LackKnowledge}}, Unsure: true}},
		"user, its child":            {Joiner{user, f.pid, 1}, f.a, Join{OK: true}},
		"user, its grandchild":       {Joiner{user, f.pid, 1}, f.aaa, Join{OK: true}},
		"user, net of its child":     {Joiner{user, f.pid, 1}, f.netA, Join{Missing: []Lack{adminOwn}, Via: f.a}},
		"user, mnt of its child":     {Joiner{user, f.pid, 1}, mntA, Join{Missing: []Lack{adminOwn, chrootOwn}, Via: f.a}},
		"user, deeper":               {Joiner{user, f.pid, 1}, f.netAAA, Join{Missing: []Lack{adminOwn}, Via: f.aaa}},
		"user with threads":          {Joiner{user, f.pid, 2}, f.netA, Join{Missing: []Lack{adminOwn}}},
		"user, net of the host":      {Joiner{user, f.pid, 1}, f.net, Join{Missing: []Lack{adminOwn}}},
		"user, another's":            {Joiner{user, f.pid, 1}, f.b, Join{Missing: []Lack{lacks(CapSysAdmin, f.b, false)}}},
		"user, pid not below":        {Joiner{user, f.pidB, 1}, f.pidA, Join{Missing: []Lack{adminOwn, {Kind: LackBelow}}}},
		"no chroot":                  {Joiner{Credentials{User: f.a, Effective: AllCaps &^ CapSetOf(CapSysChroot)}, f.pid, 1}, mntA, Join{Missing: []Lack{lacks(CapSysChroot, f.a, true)}}},
		"inside, the net of the top": {Joiner{inA, f.pid, 1}, f.net, Join{Missing: []Lack{lacks(CapSysAdmin, f.top, false)}}},
		"inside, the top":            {Joiner{inA, f.pid, 1}, f.top, Join{Missing: []Lack{lacks(CapSysAdmin, f.top, false)}}},
		"inside, out of sight, and no capability": {
			Joiner{Credentials{User: f.a}, f.pid, 1}, hidden, Join{Missing: []Lack{lacks(CapSysAdmin, nil, false), lacks(CapSysAdmin, f.a, true)}},
		},
		"user, threads unknown, no capability": {
			Joiner{user, f.pid, 0}, timeA, Join{Missing: []Lack{adminOwn, {Kind: LackKnowledge}}},
		},
		"inside, out of sight": {Joiner{inA, f.pid, 1}, hidden, Join{Missing: []Lack{lacks(CapSysAdmin, nil, false)}, Unsure: true}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := tt.j.CanJoin(Authorize(tt.j.Credentials, tt.target, f.creator))
			if diff := cmp.Diff(tt.want, got, sameNamespace); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			for _, l := range got.Missing {
				if l.String() == "" {
					t.Errorf("%+v says nothing", l)
				}
			}
		})
	}
}
