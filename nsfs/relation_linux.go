package nsfs

import (
	"golang.org/x/sys/unix"
)

// Owner opens the owning user namespace (NS_GET_USERNS, Linux 4.9). It needs no
// privilege, but the owner has to be the caller's own user namespace or below
// it: else, and above the initial one, [ErrOutOfSight] (ns_get_owner,
// kernel/user_namespace.c).
func (ns *NS) Owner() (*NS, error) {
	fd, err := ioctlArg(ns.fd, unix.NS_GET_USERNS, 0)
	if err != nil {
		return nil, wrap("owner of", ns.String(), err, ioctlKind)
	}
	return &NS{fd}, nil
}

// Parent opens the parent of a user or pid namespace (NS_GET_PARENT, Linux 4.9);
// other types have none and answer EINVAL. It is [ErrOutOfSight] at the caller's
// own user (or active pid) namespace, and outside it (pidns_get_parent,
// kernel/pid_namespace.c). A parent that no task, descriptor or mount uses any
// more is alive as long as its child is, and becomes active by this call.
func (ns *NS) Parent() (*NS, error) {
	fd, err := ioctlArg(ns.fd, unix.NS_GET_PARENT, 0)
	if err != nil {
		return nil, wrap("parent of", ns.String(), err, ioctlKind)
	}
	return &NS{fd}, nil
}

// OverflowID is what the kernel says for a user or group id that has no number
// in the asker's user namespace (/proc/sys/kernel/overflowuid by default).
const OverflowID = 65534

// OwnerUID asks for the euid of a user namespace's creator (NS_GET_OWNER_UID,
// Linux 4.11; EINVAL for other types). The answer is in the numbering of the
// caller's own user namespace, and [OverflowID] where that has none for it.
func (ns *NS) OwnerUID() (uint32, error) {
	uid, err := ioctlU32(ns.fd, unix.NS_GET_OWNER_UID)
	if err != nil {
		return 0, wrap("owner uid of", ns.String(), err, ioctlKind)
	}
	return uid, nil
}

// InitPID asks for the pid, in the caller's own pid namespace, of a pid
// namespace's init (NS_GET_PID_FROM_PIDNS with 1, Linux 6.11). [ErrGone] means
// that there is none: it has died, or is yet to be born. [ErrNotSupported] comes
// from a kernel before 6.11, and also from one up to 6.19 in place of ErrGone,
// where HavePIDTranslation tells which. EINVAL for other types.
func (ns *NS) InitPID() (int, error) {
	pid, err := ioctlArg(ns.fd, unix.NS_GET_PID_FROM_PIDNS, 1)
	if err != nil {
		return 0, wrap("init of", ns.String(), err, ioctlKind)
	}
	return pid, nil
}

// PIDOf asks for the number that a task has in a pid namespace (NS_GET_PID_IN_PIDNS,
// Linux 6.11), given the one it has in the caller's own. [ErrGone] means that it
// has none: it is not in the namespace, nor in one below. It takes no privilege
// over the task. Up to 6.19 the kernel answers ENOTTY to that too, see InitPID.
func (ns *NS) PIDOf(pid int) (int, error) {
	n, err := ioctlArg(ns.fd, unix.NS_GET_PID_IN_PIDNS, pid)
	if err != nil {
		return 0, wrap("pid in", ns.String(), err, ioctlKind)
	}
	return n, nil
}
