package topology

// Credentials are what of a task decides on its capabilities. See credentials(7)
// and capabilities(7); /proc/PID/status shows all but the user namespace.
type Credentials struct {
	User        *Namespace // the user namespace that the task is in, nil where unknown
	EUID        uint32     // as the observer numbers it
	Inheritable CapSet
	Permitted   CapSet
	Effective   CapSet
	Bounding    CapSet
	Ambient     CapSet
	NoNewPrivs  bool // execve(2) gives it nothing: prctl(2), PR_SET_NO_NEW_PRIVS

	// InSight says that User is the observer's own user namespace or below it,
	// so that whatever the observer cannot see is not User.
	InSight bool
}

// Creator says with which effective uid a user namespace was created, and whether
// that is known. The uid is in the numbering of [Credentials].EUID: ids of two
// user namespaces can be compared in the numbers of one only, and the kernel
// compares its own (kuid_t). [ObservedCreator] takes it from a graph.
type Creator func(*Namespace) (uid uint32, known bool)

// CapRule is the rule by which a question about capabilities was decided, or was
// handed on from one user namespace to the next.
type CapRule uint8

// The rules, in the words of cap_capable (security/commoncap.c).
const (
	// CapUp: not the task's own user namespace, nor one that the task's euid
	// created in that: ask the parent.
	CapUp CapRule = iota + 1
	// CapOwn: the task's own user namespace. Its effective set holds here, and
	// in everything below.
	CapOwn
	// CapCreator: a child of the task's own user namespace, created by the
	// task's euid: all capabilities, whatever the task's sets are.
	CapCreator
	// CapNone: no user namespace is left to ask.
	CapNone
	// CapHidden: the next one is out of the observer's sight.
	CapHidden
)

var capRuleNames = [...]string{CapUp: "up", CapOwn: "own", CapCreator: "creator", CapNone: "none", CapHidden: "hidden"}

// String returns the rule's name.
func (r CapRule) String() string {
	if r == 0 || int(r) >= len(capRuleNames) {
		return "rule(?)"
	}
	return capRuleNames[r]
}

// CapStep is a user namespace that was asked, and what came of it.
type CapStep struct {
	NS      *Namespace // nil where out of sight
	Rule    CapRule
	Creator uint32 // its creator's uid, as the observer numbers it
	Known   bool   // whether Creator is
}

// Authority is what a task may do to the resources that a namespace governs, and
// why. What a security module or a seccomp filter refuses on top is not in it.
type Authority struct {
	Target *Namespace
	Steps  []CapStep // from the governing user namespace up to where it was decided
	Rule   CapRule   // of the last step

	Held CapSet // the capabilities that the task holds now
	// Raisable are in the permitted set only: capset(2) makes them effective.
	Raisable CapSet
	// Gainable is what an execve(2) of a program that is set-user-ID root or has
	// file capabilities may add at most. Without one there is nothing to gain.
	Gainable CapSet

	// Unsure says that something was out of sight: the task may hold more.
	Unsure bool
}

// Governor returns the user namespace in which the resources of n are governed:
// n itself if it is one, else its owner (user_namespaces(7), "Interaction of
// user namespaces and other types of namespaces"). Nil is out of sight.
func Governor(n *Namespace) *Namespace {
	if n.Type == User {
		return n
	}
	return n.Owner
}

// Authorize answers what a task with credentials c may do to what target governs.
// It is cap_capable (security/commoncap.c): from the governing user namespace up,
// the first of the task's own user namespace and of a child of that which the
// task's euid created.
//
// Securebits do not come in: like the bounding set and no_new_privs, they decide
// what a task becomes at its next execve(2) or setuid(2), and not what it is.
func Authorize(c Credentials, target *Namespace, creator Creator) Authority {
	a := Authority{Target: target}
	n := Governor(target)
	for range maxWalk + 1 {
		step := CapStep{NS: n, Rule: CapUp}
		if n == nil {
			step.Rule = CapHidden
		} else {
			step.Creator, step.Known = creator(n)
			step.Rule = c.ruleAt(n, step)
		}
		if step.Rule == CapUp && (c.User == nil || n.Parent == c.User && !step.Known) {
			a.Unsure = true // it may be that the task's euid created n
		}
		a.Steps, a.Rule = append(a.Steps, step), step.Rule
		if step.Rule != CapUp {
			break
		}
		n = n.Parent
	}
	switch a.Rule {
	case CapOwn:
		a.Held = c.Effective
		a.Raisable = c.Permitted &^ c.Effective
		if !c.NoNewPrivs {
			a.Gainable = c.Bounding &^ (c.Permitted | c.Effective)
		}
	case CapCreator:
		a.Held = AllCaps
	case CapHidden:
		a.Unsure = a.Unsure || !c.InSight
	}
	a.Unsure = a.Unsure && a.Held != AllCaps
	return a
}

// ruleAt decides on one user namespace.
func (c Credentials) ruleAt(n *Namespace, step CapStep) CapRule {
	switch {
	case n == c.User:
		return CapOwn
	case c.User != nil && n.Parent == c.User && step.Known && step.Creator == c.EUID:
		return CapCreator
	case n.Parent == nil && n.Initial():
		return CapNone
	}
	return CapUp
}

// ObservedCreator is the [Creator] of a graph: n's creator in the numbers of the
// topmost user namespace in sight, which is the observer's own. In the graph it
// is in those of n's parent.
func ObservedCreator(n *Namespace) (uid uint32, known bool) {
	if n.User == nil {
		return 0, false
	}
	uid = n.User.OwnerUID
	p := n.Parent
	for range maxWalk {
		if p == nil {
			return 0, false
		}
		if p.External || p.Parent == nil {
			return uid, true
		}
		if p.User == nil {
			return 0, false
		}
		var ok bool
		if uid, ok = MapDown(p.User.UIDMap, uid); !ok {
			return 0, false
		}
		p = p.Parent
	}
	return 0, false
}
