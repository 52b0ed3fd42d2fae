package restore

import "github.com/renest/renest/topology"

// Host is what a plan has to get by with: this kernel and this caller.
type Host struct {
	UID, GID uint32 // effective
	// Privileged: euid 0 with CAP_SYS_ADMIN, CAP_SETUID and CAP_SETGID, all in
	// the caller's own user namespace.
	Privileged bool
	// Lacks are the capabilities that the caller does not have there.
	Lacks topology.CapSet
	// UIDMap, GIDMap and ProjIDMap are the ids that the caller's user namespace has.
	UIDMap, GIDMap, ProjIDMap []topology.Extent
	// SubUIDs and SubGIDs are the ids that the system lends to the caller beside
	// its own, by subuid(5) and subgid(5): an ordinary user's, joined where they
	// adjoin.
	SubUIDs, SubGIDs []IDRange
	// Helpers says why newuidmap(1) and newgidmap(1), by which an ordinary user
	// maps those, are of no use. Nil where they are.
	Helpers error
	// Types are those that the kernel was built with.
	Types map[topology.Type]bool
	// Max is user.max_*_namespaces of the caller's user namespace.
	Max map[topology.Type]int
	// Files is the hard limit of open descriptors (RLIMIT_NOFILE).
	Files uint64
	// UsedPIDs says of the pids that a plan wants and that are in use, by what;
	// PIDMax is kernel.pid_max; LastPIDFault why this kernel lets none be chosen. See
	// [Host.Resolve].
	UsedPIDs     map[int]string
	PIDMax       int
	LastPIDFault error
	// PinFaults says by path why bind mounts of [Plan.Pins] cannot be made, see
	// [Host.Resolve].
	PinFaults map[string]error
	// Room is what limits on the number of processes leave.
	Room []Room
	// Obstacles are reasons why nothing can be restored here at all.
	Obstacles []error
	// Bound is what references of [Plan.Bound] lead to, see [Host.Resolve].
	Bound map[string]Target
}

// Target is what a reference to a namespace leads to.
type Target struct {
	Type topology.Type
	Ino  uint64
	// Err says why there is none, or why the caller cannot enter it.
	Err error
}

// Name returns the kernel's spelling.
func (t Target) Name() string {
	return (&topology.Namespace{Type: t.Type, Ino: t.Ino}).Name()
}

// PlanOptions returns the options for the plan of this caller.
func (h *Host) PlanOptions() PlanOptions {
	return PlanOptions{Privileged: h.Privileged, UID: h.UID, GID: h.GID}
}
