package restore

import "github.com/renest/renest/topology"

// Host is what a plan has to get by with: this kernel and this caller.
type Host struct {
	UID, GID uint32 // effective
	// Privileged: euid 0 with CAP_SYS_ADMIN, CAP_SETUID and CAP_SETGID, all in
	// the caller's own user namespace.
	Privileged bool
	// UIDMap and GIDMap are the ids that the caller's user namespace has.
	UIDMap, GIDMap []topology.Extent
	// Types are those that the kernel was built with.
	Types map[topology.Type]bool
	// Max is user.max_*_namespaces of the caller's user namespace.
	Max map[topology.Type]int
	// Files is the hard limit of open descriptors (RLIMIT_NOFILE).
	Files uint64
}
