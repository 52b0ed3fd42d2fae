package topology

import (
	"fmt"
	"maps"
	"slices"
)

// Aspect is one respect in which two namespaces or tasks differ.
type Aspect struct {
	What          string // "owner", "state", "uid map", "host name", a setting's name
	First, Second string
}

// aspects collects differences.
type aspects []Aspect

// compare adds a difference of two values, if there is one.
func (l *aspects) compare(what, a, b string) {
	if a != b {
		*l = append(*l, Aspect{what, a, b})
	}
}

// aspectsOf compares what two namespaces of one type are by themselves.
func aspectsOf(a, b *Namespace, o CompareOptions) aspects {
	var l aspects
	l.compare("state", a.State.String(), b.State.String())
	if u, v := a.User, b.User; both(&l, "state of the user namespace", u, v) {
		l.user(u, v, o)
	}
	if u, v := a.UTS, b.UTS; both(&l, "names", u, v) && !o.IgnoreNames {
		l.compare("host name", fmt.Sprintf("%q", u.NodeName), fmt.Sprintf("%q", v.NodeName))
		l.compare("domain name", fmt.Sprintf("%q", u.DomainName), fmt.Sprintf("%q", v.DomainName))
	}
	if u, v := a.Time, b.Time; both(&l, "offsets", u, v) && !o.IgnoreOffsets {
		l.compare("monotonic offset", u.Monotonic.String(), v.Monotonic.String())
		l.compare("boottime offset", u.Boottime.String(), v.Boottime.String())
	}
	if o.IgnoreSysctls {
		return l
	}
	if u, v := a.IPC, b.IPC; both(&l, "settings", u, v) {
		l.sysctls(u.Sysctls, v.Sysctls)
	}
	if u, v := a.Net, b.Net; both(&l, "settings", u, v) {
		l.compare("loopback", upOrDown(u.Loopback), upOrDown(v.Loopback))
		l.sysctls(u.Sysctls, v.Sysctls)
	}
	l.compare("pid_max", fmt.Sprint(a.pidMax()), fmt.Sprint(b.pidMax()))
	return l
}

// both reports whether both sides were seen. That one was and the other was not
// is a difference.
func both[T any](l *aspects, what string, a, b *T) bool {
	if (a == nil) != (b == nil) {
		l.compare(what, knownOrUnknown(a != nil), knownOrUnknown(b != nil))
	}
	return a != nil && b != nil
}

func (l *aspects) user(u, v *UserState, o CompareOptions) {
	l.compare("creator's uid", fmt.Sprint(u.OwnerUID), fmt.Sprint(v.OwnerUID))
	l.compare("uid map", idMapLine(sortedByInside(u.UIDMap)), idMapLine(sortedByInside(v.UIDMap)))
	l.compare("gid map", idMapLine(sortedByInside(u.GIDMap)), idMapLine(sortedByInside(v.GIDMap)))
	l.compare("projid map", idMapLine(sortedByInside(u.ProjIDMap)), idMapLine(sortedByInside(v.ProjIDMap)))
	if !o.IgnoreSysctls {
		l.sysctls(u.Sysctls, v.Sysctls)
	}
	l.compare("setgroups", fmt.Sprintf("%q", u.Setgroups), fmt.Sprintf("%q", v.Setgroups))
}

func (l *aspects) sysctls(a, b Sysctls) {
	names := make(map[string]bool)
	for _, s := range [...]Sysctls{a, b} {
		for _, x := range s {
			names[x.Name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		var text [2]string
		for i, s := range [...]Sysctls{a, b} {
			var ok bool
			if text[i], ok = s.Get(name); !ok {
				text[i] = "the default"
			}
		}
		l.compare(name, text[0], text[1])
	}
}

func upOrDown(up bool) string {
	if up {
		return "up"
	}
	return "down"
}

func knownOrUnknown(known bool) string {
	if known {
		return "known"
	}
	return "unknown"
}

// tasks compares two tasks without their namespaces.
func (l *aspects) tasks(a, b *Task) {
	l.compare("depth in pid namespaces", fmt.Sprint(len(a.NSPID)), fmt.Sprint(len(b.NSPID)))
	kind := map[bool]string{true: "thread", false: "process"}
	l.compare("kind", kind[a.thread()], kind[b.thread()])
}
