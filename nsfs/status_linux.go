package nsfs

import (
	"bytes"
	"strings"
)

// Status is what dump needs of /proc/PID/status. See proc_pid_status(5).
type Status struct {
	Name    string // the command name, unescaped
	State   byte   // 'R', 'S', 'Z' …
	TGID    int
	PID     int // of the task itself
	PPID    int
	Threads int
	UID     [4]uint32 // real, effective, saved, file system
	GID     [4]uint32
	Groups  []uint32 // the supplementary ones
	NSPID   []int    // its numbers at every level, the procfs's own first
	// Session is its session's number as the task itself has it, getsid(2): 0 where that was
	// begun outside of its pid namespace.
	Session int
	KThread bool // Linux 6.9
}

// Zombie reports whether the task has ended and waits to be reaped. It has no
// namespaces left but its user and its pid namespace.
func (s *Status) Zombie() bool { return s.State == 'Z' || s.State == 'X' }

// Status reads the task's status into s, whose slices it reuses. It needs no
// privilege but that the procfs shows the task.
func (t Task) Status(s *Status) error {
	var b [2048]byte
	buf, err := readWhole(t.fd, "status\x00", b[:0])
	if err != nil {
		return wrap("read", t.path("status\x00"), err, fileKind)
	}
	s.parse(buf)
	return nil
}

// parse reads the lines it knows and skips the others.
func (s *Status) parse(b []byte) {
	*s = Status{Groups: s.Groups[:0], NSPID: s.NSPID[:0]}
	for len(b) > 0 {
		var line []byte
		line, b, _ = bytes.Cut(b, []byte{'\n'})
		i := bytes.IndexByte(line, ':')
		if i < 0 {
			continue
		}
		val := bytes.TrimLeft(line[i+1:], "\t ")
		switch string(line[:i]) {
		case "Name":
			s.Name = unescapeName(string(val))
		case "State":
			if len(val) > 0 {
				s.State = val[0]
			}
		case "Tgid":
			s.TGID = firstInt(val)
		case "Pid":
			s.PID = firstInt(val)
		case "PPid":
			s.PPID = firstInt(val)
		case "Uid":
			parseIDs(val, &s.UID)
		case "Gid":
			parseIDs(val, &s.GID)
		case "Groups":
			s.Groups = appendFields(val, s.Groups)
		case "NSpid":
			s.NSPID = appendFields(val, s.NSPID)
		case "NSsid":
			var b [32]int // levels, MAX_PID_NS_LEVEL
			if levels := appendFields(val, b[:0]); len(levels) > 0 {
				s.Session = levels[len(levels)-1]
			}
		case "Kthread":
			s.KThread = firstInt(val) == 1
		case "Threads":
			s.Threads = firstInt(val)
		case "SigQ": // nothing of interest follows
			return
		}
	}
}

func firstInt(b []byte) int {
	n, _, _ := parseUint(b)
	return int(n)
}

func parseIDs(b []byte, ids *[4]uint32) {
	for i := range ids {
		n, rest, ok := parseUint(bytes.TrimLeft(b, "\t "))
		if !ok {
			return
		}
		ids[i], b = uint32(n), rest
	}
}

func appendFields[N int | uint32](b []byte, buf []N) []N {
	for {
		n, rest, ok := parseUint(bytes.TrimLeft(b, "\t "))
		if !ok {
			return buf
		}
		buf, b = append(buf, N(n)), rest
	}
}

// unescapeName undoes what proc_task_name (fs/proc/array.c) does to a newline
// and a backslash.
func unescapeName(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\\`, `\`, `\n`, "\n").Replace(s)
}
