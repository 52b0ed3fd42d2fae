package topology

import "fmt"

// Type is one of the eight types of namespace. Its order is the order in which
// one unshare(2) of several types allocates them.
type Type uint8

// The types, by the kernel's names.
const (
	User Type = iota + 1
	Mnt
	UTS
	IPC
	PID
	Cgroup
	Net
	Time
)

// Types lists every type in the kernel's order of allocation.
var Types = [...]Type{User, Mnt, UTS, IPC, PID, Cgroup, Net, Time}

var typeNames = [...]string{"", "user", "mnt", "uts", "ipc", "pid", "cgroup", "net", "time"}

// String returns the kernel's name, as in /proc/PID/ns.
func (t Type) String() string {
	if !t.Valid() {
		return fmt.Sprintf("type(%d)", uint8(t))
	}
	return typeNames[t]
}

// Valid reports whether t is one of the eight types.
func (t Type) Valid() bool { return t >= User && t <= Time }

// HasParent reports whether namespaces of type t form a hierarchy of their own.
func (t Type) HasParent() bool { return t == User || t == PID }

// ParseType reads the kernel's name of a type.
func ParseType(s string) (Type, error) {
	for _, t := range Types {
		if typeNames[t] == s {
			return t, nil
		}
	}
	return 0, fmt.Errorf("unknown namespace type %q (known: user, mnt, uts, ipc, pid, cgroup, net, time)", s)
}

// Link is one of the ten ways in which a task is tied to a namespace: the link
// of each type, and the two *_for_children links.
type Link uint8

// The links. The first eight have the number of their type, less one.
const (
	InUser Link = iota
	InMnt
	InUTS
	InIPC
	InPID
	InCgroup
	InNet
	InTime
	PIDForChildren
	TimeForChildren
)

// NumLinks is the number of links a task has.
const NumLinks = 10

// LinkOf returns the link by which a task is a member of a namespace of type t.
func LinkOf(t Type) Link { return Link(t - 1) }

// Type returns the type of the namespaces that l leads to.
func (l Link) Type() Type {
	switch l {
	case PIDForChildren:
		return PID
	case TimeForChildren:
		return Time
	}
	return Type(l) + 1
}

// String returns the name of the link's file in /proc/PID/ns.
func (l Link) String() string {
	switch l {
	case PIDForChildren:
		return "pid_for_children"
	case TimeForChildren:
		return "time_for_children"
	}
	return l.Type().String()
}

// State says how alive a namespace is.
type State uint8

// The states.
const (
	// Active: the kernel lists it.
	Active State = iota
	// Hidden: alive, listed by nobody, reached only through an edge.
	Hidden
	// Dead: a pid namespace whose init is gone. It cannot be populated again.
	Dead
	// Unborn: a pid namespace whose init is yet to come.
	Unborn
)

var stateNames = [...]string{"active", "hidden", "dead", "unborn"}

// String returns the state's name.
func (s State) String() string {
	if int(s) >= len(stateNames) {
		return fmt.Sprintf("state(%d)", uint8(s))
	}
	return stateNames[s]
}

// ParseState reads the name of a state.
func ParseState(s string) (State, error) {
	for i, n := range stateNames {
		if n == s {
			return State(i), nil
		}
	}
	return 0, fmt.Errorf("unknown namespace state %q", s)
}
