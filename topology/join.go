package topology

import "fmt"

// Joiner is what of a task decides on setns(2).
type Joiner struct {
	Credentials
	PIDNS   *Namespace // its active pid namespace, nil where unknown
	Threads int        // of its process, 0 where unknown
}

// Join says whether a task may setns(2) into a namespace, and what is missing.
type Join struct {
	OK      bool
	Missing []Lack // nil if OK

	// Via is a user namespace that the task may join and from which nothing is
	// missing. Nil if OK, or if there is none.
	Via *Namespace
	// UnshareFS says that threads which share their root directory stand in the
	// way of a mount namespace (EINVAL): unshare(CLONE_FS), which takes no
	// privilege, comes first.
	UnshareFS bool
	// Unsure says that something was out of sight: what is missing may be there.
	Unsure bool
}

// Lack is one thing that is missing to join a namespace.
type Lack struct {
	Kind LackKind
	Cap  Cap        // with LackCap
	Over *Namespace // with LackCap: the user namespace, nil where out of sight
	Own  bool       // with LackCap: Over is the task's own
}

// LackKind says what kind of thing is missing.
type LackKind uint8

// What may be missing, with the kernel's error.
const (
	LackCap       LackKind = iota + 1 // a capability (EPERM)
	LackOther                         // it is the task's own user namespace already (EINVAL)
	LackSingle                        // it has other threads (user: EINVAL, time: EUSERS)
	LackBelow                         // neither the task's own pid namespace nor below that (EINVAL)
	LackKnowledge                     // what decides was out of sight
)

// String says what is missing.
func (l Lack) String() string {
	switch l.Kind {
	case LackCap:
		switch {
		case l.Over == nil:
			return fmt.Sprintf("%s over its owner, which is out of sight", l.Cap)
		case l.Own:
			return fmt.Sprintf("%s in the task's own %s", l.Cap, l.Over.Name())
		}
		return fmt.Sprintf("%s over %s", l.Cap, l.Over.Name())
	case LackOther:
		return "the task is in it already, and nobody joins its own user namespace"
	case LackSingle:
		return "the task has other threads, which have to stay in the same namespace: a child of it would not"
	case LackBelow:
		return "it is neither the task's own pid namespace nor below that"
	}
	return "the task's pid namespace or the number of its threads is out of sight"
}

// CanJoin answers whether a task may setns(2) into a, the target that was asked
// about with its credentials: see setns(2) and the install functions of the types
// (userns_install in kernel/user_namespace.c, mntns_install in fs/namespace.c,
// pidns_install in kernel/pid_namespace.c, timens_install in kernel/time/namespace.c,
// and those that are like utsns_install in kernel/utsname.c).
//
// It is about one call. A task that lacks but the capabilities in its own user
// namespace may take the way of Via: joined, a user namespace gives all of them.
func (j Joiner) CanJoin(a Authority) Join {
	var r Join
	target, over := a.Target, Governor(a.Target)
	if !a.Held.Has(CapSysAdmin) {
		r.lack(Lack{Kind: LackCap, Cap: CapSysAdmin, Over: over, Own: over != nil && over == j.User})
		r.Unsure = a.Unsure
	}
	own := len(r.Missing)
	if target.Type != User {
		j.lackOwn(&r, CapSysAdmin)
	}
	if target.Type == Mnt {
		j.lackOwn(&r, CapSysChroot)
		r.UnshareFS = j.Threads > 1
	}
	others := len(r.Missing)
	switch target.Type {
	case User:
		if target == j.User {
			r.lack(Lack{Kind: LackOther})
		}
		j.lackSingle(&r)
	case Time:
		j.lackSingle(&r)
	case PID:
		j.lackBelow(&r, target)
	}
	// Of what is missing, a user namespace gives the capabilities in it.
	if own == 0 && others > 0 && others == len(r.Missing) && j.Threads == 1 && over != j.User {
		r.Via = over
	}
	r.OK = len(r.Missing) == 0
	for _, l := range r.Missing {
		// What is certainly missing settles it.
		if l.Kind != LackKnowledge && (l.Kind != LackCap || l.Own || !a.Unsure) {
			r.Unsure = false
		}
	}
	return r
}

func (r *Join) lack(l Lack) {
	for _, m := range r.Missing {
		if m == l {
			return
		}
	}
	r.Missing = append(r.Missing, l)
}

// lackOwn asks for a capability in the task's own user namespace.
func (j Joiner) lackOwn(r *Join, c Cap) {
	if !j.Effective.Has(c) {
		r.lack(Lack{Kind: LackCap, Cap: c, Over: j.User, Own: true})
	}
}

func (j Joiner) lackSingle(r *Join) {
	switch {
	case j.Threads == 0:
		r.lack(Lack{Kind: LackKnowledge})
		r.Unsure = true
	case j.Threads > 1:
		r.lack(Lack{Kind: LackSingle})
	}
}

func (j Joiner) lackBelow(r *Join, target *Namespace) {
	switch {
	case j.PIDNS == nil:
		r.lack(Lack{Kind: LackKnowledge})
		r.Unsure = true
	case target != j.PIDNS && !IsAncestor(j.PIDNS, target):
		r.lack(Lack{Kind: LackBelow})
	}
}
