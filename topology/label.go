package topology

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// parts returns what is said of a namespace on its line.
func (p *picture) parts(n *Namespace, ids bool) line {
	l := heading(n, ids)
	if n.External {
		if p.cut(n) {
			l.add(faint, p.by.up()+" out of sight")
		}
		return l
	}
	if relation := p.relation(n); relation != "" {
		l.add(faint, relation)
	}
	l.holds(n)
	return append(l, p.tenants(n)...)
}

// heading returns the name of a namespace and its state.
func heading(n *Namespace, ids bool) line {
	var l line
	l.add(styleOf(n), n.Name())
	if ids && n.ID != 0 {
		l.add(faint, fmt.Sprintf(":%d", n.ID))
	}
	switch {
	case n.External:
		l.add(faint, "external")
	case n.State != Active:
		l.add(alarming(n.State), n.State.String())
	}
	return l
}

// tenants returns who lives in a namespace.
func (p *picture) tenants(n *Namespace) line {
	var l line
	if tasks := p.members.texts(n); len(tasks) > 0 && !n.External {
		l = append(l, part{style: plain, items: tasks, separator: ", "})
	} else if p.members.hole(n) {
		l.add(notable, "no task")
	}
	return l
}

// cut reports whether n is where the picture begins only because whoever looked sees
// no further up: from within a container, its own user and pid namespace.
func (p *picture) cut(n *Namespace) bool {
	if n.Initial() {
		return false
	}
	if p.by == ByParent {
		return n.Type == PID && n.Parent == nil
	}
	return n.Type == User && n.Owner == nil
}

// relation names the edge along which the picture is not drawn.
func (p *picture) relation(n *Namespace) string {
	switch {
	case p.by == ByParent && n.Owner == nil:
		return "owner out of sight"
	case p.by == ByParent && !n.Owner.External:
		return "of " + n.Owner.Name()
	case p.by == ByOwner && n.Type == PID && n.Parent == nil:
		return "parent out of sight"
	case p.by == ByOwner && n.Type == PID && !n.Parent.External:
		return "in " + n.Parent.Name()
	}
	return ""
}

// holds adds what a namespace holds, in a few words.
func (l *line) holds(n *Namespace) {
	switch {
	case n.User != nil:
		l.user(n.User)
	case n.UTS != nil:
		l.add(plain, strconv.Quote(n.UTS.NodeName))
		if d := n.UTS.DomainName; d != "" && d != "(none)" {
			l.add(plain, strconv.Quote(d))
		}
	case n.Time != nil:
		for _, c := range []struct {
			clock  string
			offset Offset
		}{{"monotonic", n.Time.Monotonic}, {"boottime", n.Time.Boottime}} {
			if c.offset != (Offset{}) {
				l.add(plain, fmt.Sprintf("%s %ss", c.clock, signed(c.offset)))
			}
		}
	case n.Cgroup != nil && n.Cgroup.Root != "":
		l.add(plain, printable(n.Cgroup.Root))
	case n.IPC != nil:
		l.sysctls(n.IPC.Sysctls)
	case n.Net != nil:
		if n.Net.Loopback {
			l.add(plain, "lo up")
		}
		l.sysctls(n.Net.Sysctls)
	case n.pidMax() != 0:
		l.add(plain, fmt.Sprintf("pid_max=%d", n.pidMax()))
	}
}

// sysctls adds settings without the directories that their type tells.
func (l *line) sysctls(s Sysctls) {
	items := make([]string, len(s))
	for i, x := range s {
		name := x.Name
		for _, dir := range [...]string{"kernel.", "fs.", "net.", "user."} {
			name = strings.TrimPrefix(name, dir)
		}
		items[i] = printable(name + "=" + strings.ReplaceAll(x.Value, " ", ","))
	}
	l.list(items)
}

// signed returns an offset with its sign, to the millisecond: what is behind that
// depends on how long a restore took. An offset below that is not rounded to none.
func signed(o Offset) string {
	if rounded := o.plus(500_000); rounded.Sec != 0 || rounded.Nsec >= 1_000_000 {
		o = Offset{Sec: rounded.Sec, Nsec: rounded.Nsec / 1_000_000 * 1_000_000}
	}
	if o.Sec >= 0 {
		return "+" + o.String()
	}
	return o.String()
}

func (l *line) user(u *UserState) {
	uid, gid := extentTexts(sortedByInside(u.UIDMap)), extentTexts(sortedByInside(u.GIDMap))
	switch {
	case len(uid)+len(gid) == 0:
		l.add(plain, "no maps")
	case slices.Equal(uid, gid):
		l.maps(uid)
	default:
		l.add(plain, "uid")
		l.maps(uid)
		l.add(plain, "gid")
		l.maps(gid)
	}
	if u.OwnerUID != 0 {
		l.add(plain, fmt.Sprintf("by uid %d", u.OwnerUID))
	}
	l.sysctls(u.Sysctls)
}

func (l *line) maps(extents []string) {
	if len(extents) == 0 {
		extents = []string{"none"}
	}
	l.list(extents)
}

// list adds words, of which as many are shown as fit.
func (l *line) list(words []string) {
	if len(words) > 0 {
		*l = append(*l, part{style: plain, items: words, separator: " "})
	}
}

// printable returns s as it is, or quoted where a terminal might take it for
// more than text: the names of tasks are chosen by those who run them.
func printable(s string) string {
	for _, r := range s {
		if !strconv.IsPrint(r) || r == utf8.RuneError {
			return strconv.Quote(s)
		}
	}
	return s
}
