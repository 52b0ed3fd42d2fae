package topology

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// members says which tasks are drawn at which namespace.
type members struct {
	at    map[*Namespace][]*Task
	any   map[*Namespace]bool // namespaces that have any task
	tasks bool                // whether the graph has tasks at all
}

func membersOf(g *Graph) *members {
	m := &members{at: make(map[*Namespace][]*Task), any: make(map[*Namespace]bool), tasks: len(g.Tasks) > 0}
	for _, t := range g.Tasks {
		if t == nil {
			continue
		}
		for l, n := range t.Namespaces {
			if n != nil && Link(l) < PIDForChildren {
				m.any[n] = true
			}
		}
		if home := t.home(); home != nil {
			m.at[home] = append(m.at[home], t)
		}
	}
	return m
}

// home returns the namespace at which t is drawn; nil for a task of the host.
func (t *Task) home() *Namespace {
	for _, l := range [...]Link{InPID, InUser, InMnt, InUTS, InIPC, InCgroup, InNet, InTime} {
		if n := t.Namespaces[l]; n != nil && !n.External {
			return n
		}
	}
	return nil
}

// columns is how wide s is drawn, near enough.
func columns(s string) int { return utf8.RuneCountInString(s) }

// line returns the line of a namespace that begins at column at.
func (t *tree) line(i int32, at int) string {
	n := t.num.ns[i]
	l := &line{width: t.o.Width - at}
	l.add(n.Name())
	if n.External {
		l.add("external")
		return l.String()
	}
	if n.State != Active {
		l.add(n.State.String())
	}
	t.relations(l, n)
	l.holds(n)
	switch tasks := t.members.at[n]; {
	case len(tasks) > 0:
		l.tasks(tasks, n)
	case t.members.tasks && !t.members.any[n] && n.State == Active:
		l.add("no task")
	}
	return l.String()
}

// relations adds the edge along which the tree is not drawn.
func (t *tree) relations(l *line, n *Namespace) {
	switch {
	case t.o.By == ByParent && n.Owner == nil:
		l.add("owner out of sight")
	case t.o.By == ByParent && !n.Owner.External:
		l.add("of " + n.Owner.Name())
	case t.o.By == ByOwner && n.Type == PID && n.Parent == nil:
		l.add("parent out of sight")
	case t.o.By == ByOwner && n.Type == PID && !n.Parent.External:
		l.add("in " + n.Parent.Name())
	}
}

// line is a line in the making.
type line struct {
	strings.Builder
	width int
}

func (l *line) add(s string) {
	if l.Len() > 0 {
		l.WriteByte(' ')
	}
	l.WriteString(s)
}

// room is how many columns are left for another detail.
func (l *line) room() int { return l.width - columns(l.String()) - 1 }

// list adds as many of items as fit, at least one, and counts the others.
func (l *line) list(items []string, separator string) {
	room := l.room()
	var text string
	for k, item := range items {
		longer := item
		if k > 0 {
			longer = text + separator + item
		}
		rest := ""
		if k+1 < len(items) {
			rest = fmt.Sprintf("%s+%d more", separator, len(items)-k-1)
		}
		if k > 0 && columns(longer+rest) > room {
			text += fmt.Sprintf("%s+%d more", separator, len(items)-k)
			break
		}
		text = longer
	}
	l.add(text)
}

// holds adds what a namespace holds, in a few words.
func (l *line) holds(n *Namespace) {
	switch {
	case n.User != nil:
		l.user(n.User)
	case n.UTS != nil:
		l.add(strconv.Quote(n.UTS.NodeName))
		if d := n.UTS.DomainName; d != "" && d != "(none)" {
			l.add(strconv.Quote(d))
		}
	case n.Time != nil:
		for _, c := range []struct {
			clock  string
			offset Offset
		}{{"monotonic", n.Time.Monotonic}, {"boottime", n.Time.Boottime}} {
			if c.offset != (Offset{}) {
				l.add(fmt.Sprintf("%s %ss", c.clock, signed(c.offset)))
			}
		}
	case n.Cgroup != nil && n.Cgroup.Root != "":
		l.add(printable(n.Cgroup.Root))
	case n.IPC != nil:
		l.sysctls(n.IPC.Sysctls)
	case n.Net != nil:
		if n.Net.Loopback {
			l.add("lo up")
		}
		l.sysctls(n.Net.Sysctls)
	case n.pidMax() != 0:
		l.add(fmt.Sprintf("pid_max=%d", n.pidMax()))
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
		items[i] = name + "=" + strings.ReplaceAll(x.Value, " ", ",")
	}
	if len(items) > 0 {
		l.list(items, " ")
	}
}

func signed(o Offset) string {
	if o.Sec >= 0 {
		return "+" + o.String()
	}
	return o.String()
}

func (l *line) user(u *UserState) {
	uid, gid := sortedByInside(u.UIDMap), sortedByInside(u.GIDMap)
	switch {
	case len(uid)+len(gid) == 0:
		l.add("no maps")
	case slices.Equal(uid, gid):
		l.list(strings.Fields(idMapLine(uid)), " ")
	default:
		l.add("uid")
		l.list(strings.Fields(idMapLine(uid)), " ")
		l.add("gid")
		l.list(strings.Fields(idMapLine(gid)), " ")
	}
	if u.OwnerUID != 0 {
		l.add(fmt.Sprintf("by uid %d", u.OwnerUID))
	}
	l.sysctls(u.Sysctls)
}

// tasks adds the tasks that live in n, threads counted with their task.
func (l *line) tasks(tasks []*Task, n *Namespace) {
	var items []string
	for _, t := range tasks {
		number := fmt.Sprint(t.PID)
		if t.thread() {
			number += "/" + fmt.Sprint(t.TID)
		}
		item := printable(t.Comm) + " " + number
		if k := len(t.NSPID) - 1; n.Type == PID && k > 0 {
			item += fmt.Sprintf(" (%d)", t.NSPID[k])
		}
		items = append(items, item)
	}
	l.list(items, ", ")
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
