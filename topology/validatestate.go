package topology

import (
	"slices"
	"strings"
)

// MaxUTSName is how long a host or domain name may be (__NEW_UTS_LEN,
// include/uapi/linux/utsname.h).
const MaxUTSName = 64

// maxOffsetSec bounds a clock offset either way (KTIME_SEC_MAX, which
// proc_timens_set_offset, kernel/time/namespace.c, holds it against).
const maxOffsetSec = (1<<63 - 1) / 1_000_000_000

// state checks what a namespace holds, apart from its maps' places in the
// parent's.
func (v *validation) state(n *Namespace) {
	switch {
	case int(n.State) >= len(stateNames):
		v.add("%s: unknown state %d", n.Name(), n.State)
	case (n.State == Dead || n.State == Unborn) && n.Type != PID:
		v.add("%s: is said to be %s, which only a pid namespace can be", n.Name(), n.State)
	}
	for _, held := range []struct {
		present bool
		t       Type
	}{
		{n.User != nil, User},
		{n.UTS != nil, UTS},
		{n.IPC != nil, IPC},
		{n.Net != nil, Net},
		{n.Time != nil, Time},
		{n.Cgroup != nil, Cgroup},
		{n.PID != nil, PID},
	} {
		if held.present && held.t != n.Type {
			v.add("%s: holds what only a %s namespace can", n.Name(), held.t)
		}
	}
	v.settings(n)
	if u := n.UTS; u != nil {
		v.utsName(n, "host name", u.NodeName)
		v.utsName(n, "domain name", u.DomainName)
	}
	if t := n.Time; t != nil {
		v.offset(n, "monotonic", t.Monotonic)
		v.offset(n, "boottime", t.Boottime)
	}
	if p := n.PID; p != nil && (p.Init < 0 || p.PIDMax < 0 || p.LastPID < 0) {
		v.add("%s: init %d, pid_max %d, last pid %d: none can be negative", n.Name(), p.Init, p.PIDMax, p.LastPID)
	}
	if c := n.Cgroup; c != nil && strings.IndexByte(c.Root, 0) >= 0 {
		v.add("%s: its root has a NUL byte", n.Name())
	}
}

func (v *validation) utsName(n *Namespace, what, s string) {
	switch {
	case len(s) > MaxUTSName:
		v.add("%s: its %s has %d bytes, the kernel takes %d", n.Name(), what, len(s), MaxUTSName)
	case strings.IndexByte(s, 0) >= 0:
		v.add("%s: its %s has a NUL byte", n.Name(), what)
	}
}

func (v *validation) offset(n *Namespace, clock string, o Offset) {
	if o.Nsec >= 1_000_000_000 {
		v.add("%s: its %s offset has %d nanoseconds, a second or more", n.Name(), clock, o.Nsec)
	}
	if o.Sec > maxOffsetSec || o.Sec < -maxOffsetSec {
		v.add("%s: its %s offset of %d seconds is out of the kernel's range", n.Name(), clock, o.Sec)
	}
}

// maps checks the maps of each user namespace by itself and against what its
// parent maps.
func (v *validation) maps() {
	sorted := make(map[*UserState]*parentMaps)
	for _, n := range v.num.ns {
		if n.Type != User || n.User == nil || n.External {
			continue
		}
		u := n.User
		if u.Setgroups != "" && u.Setgroups != "allow" && u.Setgroups != "deny" {
			v.add("%s: setgroups is %q, neither allow nor deny", n.Name(), clip(u.Setgroups, 20))
		}
		uidErr, gidErr := ValidateIDMap(u.UIDMap), ValidateIDMap(u.GIDMap)
		projErr := ValidateIDMap(u.ProjIDMap)
		if projErr != nil {
			v.add("%s: projid map: %w", n.Name(), projErr)
		}
		if uidErr != nil {
			v.add("%s: uid map: %w", n.Name(), uidErr)
		}
		if gidErr != nil {
			v.add("%s: gid map: %w", n.Name(), gidErr)
		}
		p := n.Parent
		if p == nil || p.External || p.User == nil || uidErr != nil || gidErr != nil || projErr != nil {
			continue
		}
		if sorted[p.User] == nil {
			sorted[p.User] = newParentMaps(p.User)
		}
		v.below(n, p, sorted[p.User])
	}
}

// parentMaps are the maps of a user namespace with children, sorted by inside
// id once for all of them.
type parentMaps struct {
	uid, gid, projid []Extent
	reported         bool // that it cannot have children
}

func newParentMaps(u *UserState) *parentMaps {
	if max(len(u.UIDMap), len(u.GIDMap), len(u.ProjIDMap)) > MaxExtents {
		return &parentMaps{reported: true} // reported already as too long
	}
	return &parentMaps{uid: sortedByInside(u.UIDMap), gid: sortedByInside(u.GIDMap), projid: sortedByInside(u.ProjIDMap)}
}

// below checks n against its parent: create_user_ns wants the creator's ids
// mapped there, map_write each extent inside one of the parent's.
func (v *validation) below(n, p *Namespace, maps *parentMaps) {
	if len(maps.uid) == 0 || len(maps.gid) == 0 {
		if !maps.reported {
			v.add("%s: has the child %s, and an empty uid or gid map, with which it could not be made",
				p.Name(), n.Name())
		}
		maps.reported = true
		return
	}
	if _, ok := MapDown(maps.uid, n.User.OwnerUID); !ok {
		v.add("%s: its creator's uid %d is not mapped in its parent %s", n.Name(), n.User.OwnerUID, p.Name())
	}
	v.inside(n, p, "uid", n.User.UIDMap, maps.uid)
	v.inside(n, p, "gid", n.User.GIDMap, maps.gid)
	v.inside(n, p, "projid", n.User.ProjIDMap, maps.projid)
	// Inherited at creation, and denying is for ever (proc_setgroups_write).
	if p.User.Setgroups == "deny" && n.User.Setgroups == "allow" {
		v.add("%s: setgroups is allow, below %s, which denies it", n.Name(), p.Name())
	}
}

func (v *validation) inside(n, p *Namespace, kind string, m, parent []Extent) {
	i := slices.IndexFunc(m, func(e Extent) bool { return !inOneExtent(e, parent) })
	if i >= 0 {
		v.add("%s: %s map: extent %d (%v) is not inside one extent of its parent %s",
			n.Name(), kind, i+1, m[i], p.Name())
	}
}

// pins checks that pins are of a known kind and lead to namespaces of g.
func (v *validation) pins() {
	for _, n := range v.num.ns {
		for _, p := range n.Pins {
			switch {
			case p.Kind < PinTask || p.Kind > PinInFlight:
				v.add("%s: has a pin of the unknown kind %d", n.Name(), p.Kind)
			case v.num.position(p.Mnt) == outside:
				v.add("%s: is pinned in a mount namespace that is not in the graph", n.Name())
			case p.Mnt != nil && p.Mnt.Type != Mnt:
				v.add("%s: is pinned in %s, which is no mount namespace", n.Name(), p.Mnt.Name())
			case v.num.position(p.NS) == outside:
				v.add("%s: is pinned by a namespace that is not in the graph", n.Name())
			}
		}
	}
}

// tasks checks that each link of a task leads to a namespace of g, of its type.
func (v *validation) tasks() {
	for i, t := range v.graph.Tasks {
		if t == nil {
			v.add("task %d of %d is nil", i+1, len(v.graph.Tasks))
			continue
		}
		if t.PID < 0 || t.TID < 0 || len(t.NSPID) > MaxPIDLevel+1 {
			v.add("task %d (thread %d, %d levels): no task has such numbers", t.PID, t.TID, len(t.NSPID))
		}
		for l, n := range t.Namespaces {
			link := Link(l)
			switch {
			case n == nil:
			case v.num.position(n) == outside:
				v.add("task %d: its %s leads to a namespace that is not in the graph", t.PID, link)
			case n.Type != link.Type():
				v.add("task %d: its %s leads to %s", t.PID, link, n.Name())
			}
		}
	}
}
