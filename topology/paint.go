package topology

import "encoding/binary"

// paint gives each node of both sides a number for what it is by itself: the
// same for two nodes that differ in nothing but what they hang on.
func (c *comparison) paint() {
	numbers := make(interner)
	var key []byte
	for _, s := range c.sides {
		s.paint = make([]int32, s.size())
		for i, n := range s.ns {
			key = appendNamespace(key[:0], n, c.o)
			s.paint[i] = numbers.of(key)
		}
		for i, t := range s.tasks {
			key = c.appendTask(key[:0], s, i, t)
			s.paint[len(s.ns)+i] = numbers.of(key)
		}
	}
}

// interner numbers byte strings: exactly, where a hash would be a guess.
type interner map[string]int32

func (in interner) of(key []byte) int32 {
	if i, ok := in[string(key)]; ok {
		return i
	}
	i := int32(len(in))
	in[string(key)] = i
	return i
}

// What an edge leads to, so far as the node's own paint tells.
const (
	toNothing byte = iota
	toExternal
	toNode
)

func edgeKind(n *Namespace) byte {
	switch {
	case n == nil:
		return toNothing
	case n.External:
		return toExternal
	}
	return toNode
}

// appendNamespace appends all that is compared of n by itself. No two
// namespaces that differ give the same bytes.
func appendNamespace(b []byte, n *Namespace, o CompareOptions) []byte {
	return appendState(append(b, 'n', edgeKind(n.Owner), edgeKind(n.Parent)), n, o)
}

// appendState appends what n is without its edges.
func appendState(b []byte, n *Namespace, o CompareOptions) []byte {
	b = append(b, byte(n.Type), byte(n.State))
	if u := n.User; u == nil {
		b = append(b, 0)
	} else {
		b = append(b, 1)
		b = binary.AppendUvarint(b, uint64(u.OwnerUID))
		b = appendIDMap(b, u.UIDMap)
		b = appendIDMap(b, u.GIDMap)
		b = appendIDMap(b, u.ProjIDMap)
		b = appendString(b, u.Setgroups)
		if !o.IgnoreSysctls {
			b = appendSysctls(b, u.Sysctls)
		}
	}
	if u := n.UTS; u == nil {
		b = append(b, 0)
	} else if b = append(b, 1); !o.IgnoreNames {
		b = appendString(b, u.NodeName)
		b = appendString(b, u.DomainName)
	}
	if t := n.Time; t == nil {
		b = append(b, 0)
	} else if b = append(b, 1); !o.IgnoreOffsets {
		for _, off := range [...]Offset{t.Monotonic, t.Boottime} {
			b = binary.AppendVarint(b, off.Sec)
			b = binary.AppendUvarint(b, uint64(off.Nsec))
		}
	}
	if !o.IgnoreSysctls {
		b = appendSettings(b, n)
	}
	return b
}

// appendSettings appends what is compared of the settings of n, those of a user
// namespace apart.
func appendSettings(b []byte, n *Namespace) []byte {
	if i := n.IPC; i == nil {
		b = append(b, 0)
	} else {
		b = appendSysctls(append(b, 1), i.Sysctls)
	}
	if t := n.Net; t == nil {
		b = append(b, 0)
	} else {
		b = appendSysctls(append(b, 1, flag(t.Loopback)), t.Sysctls)
	}
	return binary.AppendUvarint(b, uint64(n.pidMax()))
}

// pidMax returns the limit that a pid namespace sets itself, 0 where it has none.
func (n *Namespace) pidMax() int {
	if n.PID == nil || n.PID.PIDMax >= NoPIDMax {
		return 0
	}
	return n.PID.PIDMax
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// appendIDMap appends a map in the order that the kernel gives to large ones.
func appendIDMap(b []byte, m []Extent) []byte {
	b = binary.AppendUvarint(b, uint64(len(m)))
	for _, e := range sortedByInside(m) {
		b = binary.AppendUvarint(b, uint64(e.Inside))
		b = binary.AppendUvarint(b, uint64(e.Outside))
		b = binary.AppendUvarint(b, uint64(e.Count))
	}
	return b
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func (c *comparison) appendTask(b []byte, s *side, i int, t *Task) []byte {
	b = append(b, 't')
	switch lead := s.leader[i]; {
	case !t.thread():
		b = append(b, 0)
	case lead == nowhere:
		b = append(b, 1)
	default:
		b = append(b, 2)
	}
	b = binary.AppendUvarint(b, uint64(len(t.NSPID)))
	for l, n := range t.Namespaces {
		if c.o.IgnoreTime && Link(l).Type() == Time {
			continue
		}
		b = append(b, edgeKind(n))
	}
	return b
}
