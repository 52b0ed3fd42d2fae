package topology

// style is how a part of a line looks on a terminal. The colours are those of
// the terminal's own palette, which its owner chose to be legible.
type style string

// The styles that are not a type's.
const (
	plain   style = ""
	faint   style = "2"
	notable style = "33"
	alarm   style = "1;31"
)

// Of types, user namespaces stand out: they are the trunk.
var typeStyles = [...]style{
	User: "1", Mnt: "94", UTS: "32", IPC: "35", PID: "36", Cgroup: "95", Net: "92", Time: "34",
}

func styleOf(n *Namespace) style {
	if n.External || !n.Type.Valid() {
		return faint
	}
	return typeStyles[n.Type]
}

func alarming(s State) style {
	if s == Dead {
		return alarm
	}
	return notable
}

// paint returns text in the style, with the sequences that ECMA-48 calls select
// graphic rendition.
func (s style) paint(text string, color bool) string {
	if !color || s == plain || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}
