//go:build linux

package nsfs

import (
	"fmt"
	"strconv"
)

// Ref names a namespace as the kernel spells it in a link of /proc/PID/ns and in
// the root field of a mount: net:[4026531840]. The kernel gives the inode number
// of a namespace that is gone to the next one, so a Ref names one namespace only
// while something keeps that alive.
type Ref struct {
	Type Type
	Ino  uint64
}

// String returns the kernel's spelling.
func (r Ref) String() string {
	return r.Type.String() + ":[" + strconv.FormatUint(r.Ino, 10) + "]"
}

// ParseRef reads the kernel's spelling of a namespace.
func ParseRef(s string) (Ref, error) {
	r, ok := parseRef([]byte(s))
	if !ok {
		return Ref{}, fmt.Errorf("%q is not a namespace reference (want TYPE:[INODE], as net:[4026531840])", s)
	}
	return r, nil
}

// parseRef is ParseRef for a scan's buffer, without an allocation.
func parseRef(b []byte) (Ref, bool) {
	for _, t := range Types {
		name := t.String()
		if len(b) < len(name)+4 || string(b[:len(name)]) != name || b[len(name)] != ':' || b[len(name)+1] != '[' {
			continue
		}
		ino, rest, ok := parseUint(b[len(name)+2:])
		if !ok || len(rest) != 1 || rest[0] != ']' {
			return Ref{}, false
		}
		return Ref{t, ino}, true
	}
	return Ref{}, false
}

// parseUint reads the decimal number at the head of b and returns what follows.
func parseUint(b []byte) (n uint64, rest []byte, ok bool) {
	i := 0
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
		d := uint64(b[i] - '0')
		if n > (1<<64-1-d)/10 {
			return 0, b, false
		}
		n = n*10 + d
	}
	return n, b[i:], i > 0
}

// Link is one of the ten files in /proc/PID/ns. The first eight have the order
// of [Types].
type Link uint8

// The links. See proc_pid_ns(5).
const (
	InUser Link = iota
	InMnt
	InUTS
	InIPC
	InPID
	InCgroup
	InNet
	InTime
	PIDForChildren  // Linux 4.12
	TimeForChildren // Linux 5.6
)

// NumLinks is the number of links a task has.
const NumLinks = 10

var linkPaths = [NumLinks]cstr{
	"ns/user\x00", "ns/mnt\x00", "ns/uts\x00", "ns/ipc\x00", "ns/pid\x00", "ns/cgroup\x00", "ns/net\x00", "ns/time\x00",
	"ns/pid_for_children\x00", "ns/time_for_children\x00",
}

// String returns the name of the link's file.
func (l Link) String() string {
	if l >= NumLinks {
		return "link(" + strconv.Itoa(int(l)) + ")"
	}
	return string(linkPaths[l][len("ns/") : len(linkPaths[l])-1])
}

// Type returns the type of the namespaces that l leads to.
func (l Link) Type() Type {
	switch l {
	case PIDForChildren:
		return PID
	case TimeForChildren:
		return Time
	}
	return Types[l]
}
