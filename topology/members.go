package topology

import "fmt"

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

// hole reports whether n, which is active, has no task, though the graph has
// some.
func (m *members) hole(n *Namespace) bool {
	return m.tasks && !m.any[n] && n.State == Active && !n.External
}

// texts returns a text for each of the tasks that live in n, threads counted
// with their task: its name, its pid, and its pid in n.
func (m *members) texts(n *Namespace) []string {
	var out []string
	for _, t := range m.at[n] {
		text := fmt.Sprintf("%s %d", printable(t.Comm), t.PID)
		if t.thread() {
			text += fmt.Sprintf("/%d", t.TID)
		}
		if k := len(t.NSPID) - 1; n.Type == PID && k > 0 {
			text += fmt.Sprintf(" (%d)", t.NSPID[k])
		}
		out = append(out, text)
	}
	return out
}
