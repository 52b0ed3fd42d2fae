package nsfs

import (
	"bytes"
	"fmt"
)

// Extent is one line of /proc/PID/uid_map or gid_map.
type Extent struct {
	Inside  uint32 // first id in the namespace
	Outside uint32 // first id as the opener of the file numbers it
	Count   uint32
}

// UIDMap reads the uid map of the task's user namespace. Outside is in the
// numbering of the caller's own user namespace or, where the caller is in that
// very namespace, of its parent; ids that have no number there are 4294967295
// (uid_m_show, kernel/user_namespace.c). It needs no privilege but that the
// procfs shows the task.
func (t Task) UIDMap() ([]Extent, error) { return t.idMap("uid_map\x00") }

// GIDMap is UIDMap for groups.
func (t Task) GIDMap() ([]Extent, error) { return t.idMap("gid_map\x00") }

// ProjIDMap is UIDMap for project ids (disk quotas).
func (t Task) ProjIDMap() ([]Extent, error) { return t.idMap("projid_map\x00") }

func (t Task) idMap(path cstr) ([]Extent, error) {
	var buf [1024]byte // most have a few lines
	b, err := readAll(t.fd, path, buf[:0])
	if err != nil {
		return nil, wrap("read", t.path(path), err, fileKind)
	}
	m, err := ParseIDMap(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.path(path), err)
	}
	return m, nil
}

// ParseIDMap reads the text of a uid_map or gid_map file.
func ParseIDMap(b []byte) ([]Extent, error) {
	var m []Extent
	for line := range bytes.Lines(b) {
		var n [3]uint64
		rest := line
		for i := range n {
			var ok bool
			n[i], rest, ok = parseUint(bytes.TrimLeft(rest, " \t"))
			if !ok || n[i] > 1<<32-1 {
				return nil, fmt.Errorf("id map: line %q is not three numbers of 32 bits", line)
			}
		}
		if len(bytes.TrimSpace(rest)) != 0 {
			return nil, fmt.Errorf("id map: line %q has more than three numbers", line)
		}
		m = append(m, Extent{uint32(n[0]), uint32(n[1]), uint32(n[2])})
	}
	return m, nil
}

// Setgroups reads whether processes of the task's user namespace may call
// setgroups(2): "allow" or "deny" (Linux 3.19).
func (t Task) Setgroups() (string, error) {
	var buf [16]byte
	b, err := readAll(t.fd, "setgroups\x00", buf[:0])
	if err != nil {
		return "", wrap("read", t.path("setgroups\x00"), err, fileKind)
	}
	return string(bytes.TrimSpace(b)), nil
}
