package nsfs

import (
	"bytes"
	"strconv"

	"golang.org/x/sys/unix"
)

// Credentials are what /proc/PID/status says of a task's rights, see
// proc_pid_status(5) and credentials(7). Capabilities are sets, bit by bit; they
// are those that the task has in its own user namespace.
type Credentials struct {
	Status
	Inheritable uint64
	Permitted   uint64
	Effective   uint64
	Bounding    uint64
	Ambient     uint64 // Linux 4.3
	NoNewPrivs  bool   // Linux 4.10
	Seccomp     int    // 0 off, 1 strict, 2 a filter (Linux 3.8)

	buf []byte // of the file, for the next task
}

// Credentials reads the task's status and its rights into c, whose memory it
// reuses. It needs no privilege but that the procfs shows the task. Uids are in
// the numbering of the caller's user namespace, and the overflow uid where that
// has none for them.
func (t Task) Credentials(c *Credentials) error {
	buf, err := readWhole(t.fd, "status\x00", c.buf)
	if err != nil {
		return wrap("read", t.path("status\x00"), err, fileKind)
	}
	c.buf = buf
	c.parse(buf)
	return nil
}

// parse reads the lines it knows and skips the others.
func (c *Credentials) parse(b []byte) {
	*c = Credentials{Status: Status{Groups: c.Groups, NSPID: c.NSPID}, buf: c.buf}
	c.Status.parse(b)
	// What the task calls itself comes first, with its newlines escaped.
	i := bytes.Index(b, []byte("\nCapInh:"))
	if i < 0 {
		return
	}
	for line := range bytes.SplitSeq(b[i+1:], []byte{'\n'}) {
		key, val, ok := bytes.Cut(line, []byte(":\t"))
		if !ok {
			continue
		}
		switch string(key) {
		case "CapInh":
			c.Inheritable = parseHex(val)
		case "CapPrm":
			c.Permitted = parseHex(val)
		case "CapEff":
			c.Effective = parseHex(val)
		case "CapBnd":
			c.Bounding = parseHex(val)
		case "CapAmb":
			c.Ambient = parseHex(val)
		case "NoNewPrivs":
			c.NoNewPrivs = firstInt(val) == 1
		case "Seccomp":
			c.Seccomp = firstInt(val)
			return // nothing of interest follows
		}
	}
}

func parseHex(b []byte) uint64 {
	n, err := strconv.ParseUint(string(b), 16, 64)
	if err != nil {
		return 0
	}
	return n
}

// StartTime reads when the task was started, in clock ticks since boot: with the
// pid it names one process for as long as the host is up (proc_pid_stat(5), field
// 22). The ticks are those of the caller's time namespace.
func (t Task) StartTime() (uint64, error) {
	const path = cstr("stat\x00")
	var buf [1024]byte
	b, err := readWhole(t.fd, path, buf[:0])
	if err != nil {
		return 0, wrap("read", t.path(path), err, fileKind)
	}
	start, ok := parseStart(b)
	if !ok {
		return 0, &Error{Op: "read", Object: t.path(path) + ": no start time", Errno: unix.EINVAL}
	}
	return start, nil
}

// parseStart finds field 22. The command name, field 2, stands in parentheses
// and may hold anything, parentheses included.
func parseStart(b []byte) (uint64, bool) {
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return 0, false
	}
	field := 2
	for f := range bytes.FieldsSeq(b[i+1:]) {
		if field++; field == 22 {
			n, rest, ok := parseUint(f)
			return n, ok && len(rest) == 0
		}
	}
	return 0, false
}
