//go:build linux

package nsfs

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// Type is a type of namespace, or a set of types: the CLONE_NEW* bits of
// clone(2), which the kernel uses for both (struct ns_id_req.ns_type).
type Type uint32

// The eight types. See namespaces(7).
const (
	User   Type = unix.CLONE_NEWUSER
	Mnt    Type = unix.CLONE_NEWNS
	UTS    Type = unix.CLONE_NEWUTS
	IPC    Type = unix.CLONE_NEWIPC
	PID    Type = unix.CLONE_NEWPID
	Cgroup Type = unix.CLONE_NEWCGROUP
	Net    Type = unix.CLONE_NEWNET
	Time   Type = unix.CLONE_NEWTIME
)

// Types lists every type in the order in which one unshare(2) allocates them.
// (An array cannot be a constant; nothing writes to it.)
var Types = [...]Type{User, Mnt, UTS, IPC, PID, Cgroup, Net, Time}

// String returns the kernel's name of a single type, as in /proc/PID/ns.
func (t Type) String() string {
	switch t {
	case User:
		return "user"
	case Mnt:
		return "mnt"
	case UTS:
		return "uts"
	case IPC:
		return "ipc"
	case PID:
		return "pid"
	case Cgroup:
		return "cgroup"
	case Net:
		return "net"
	case Time:
		return "time"
	}
	return "type(0x" + strconv.FormatUint(uint64(t), 16) + ")"
}

// Valid reports whether t is exactly one of the eight types.
func (t Type) Valid() bool {
	switch t {
	case User, Mnt, UTS, IPC, PID, Cgroup, Net, Time:
		return true
	}
	return false
}

// HasParent reports whether namespaces of type t form a hierarchy of their own,
// so that [NS.Parent] has an answer.
func (t Type) HasParent() bool { return t == User || t == PID }

// ParseType reads the kernel's name of a type.
func ParseType(s string) (Type, error) {
	for _, t := range Types {
		if t.String() == s {
			return t, nil
		}
	}
	return 0, fmt.Errorf("unknown namespace type %q (known: user, mnt, uts, ipc, pid, cgroup, net, time)", s)
}
