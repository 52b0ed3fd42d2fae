package forecast

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/renest/renest/topology"
)

// Verdict is what CRIU does about a finding.
type Verdict uint8

// The verdicts. Of several findings the greatest decides: what is refused is not
// destroyed.
const (
	// Clean: nothing is lost.
	Clean Verdict = iota
	// Loses: the dump and the restore succeed, and something is not as it was.
	Loses
	// Destroys: the dump succeeds and the tree is killed, and no restore does.
	Destroys
	// Refuses: the dump fails, and the tree runs on.
	Refuses
)

// String returns the verdict as a sentence has it: CRIU loses.
func (v Verdict) String() string {
	switch v {
	case Clean:
		return "clean"
	case Loses:
		return "loses"
	case Refuses:
		return "refuses"
	case Destroys:
		return "destroys"
	}
	return fmt.Sprintf("verdict %d", uint8(v))
}

// Rule is the name of what was found, one word that stays.
type Rule string

// The rules, in CRIU's order.
const (
	Nested      Rule = "nested"       // a task in a further namespace of a type with one
	TimeChild   Rule = "time"         // time_for_children that no task is in
	Shared      Rule = "shared"       // several net or mnt, and the root task is in CRIU's
	Stayed      Rule = "stayed"       // the root task left CRIU's namespace, a task did not
	NoInit      Rule = "no-init"      // the root task is not the init of its pid namespace
	NoRoot      Rule = "no-root"      // user namespace of the root task without uid or gid 0
	ForeignRoot Rule = "foreign"      // a namespace of the root task that its user namespace does not own
	Descriptor  Rule = "descriptor"   // of a namespace without a dumped task
	OwnDesc     Rule = "descriptor-0" // of CRIU's own namespace, which no dumped task is in
	Bind        Rule = "bind"         // a bind mount of a namespace
	Owner       Rule = "owner"        // a namespace returns with another owner
	Depth       Rule = "depth"        // nested user or pid namespace returns one level deep
	Creator     Rule = "creator"      // uid of who created the user namespace
	Setgroups   Rule = "setgroups"    // denied in the user namespace
	Children    Rule = "children"     // pid_for_children
	Thread      Rule = "thread"       // namespaces of a thread
	Zombie      Rule = "zombie"       // user namespace of one
	CgroupRoot  Rule = "cgroup"       // a task that stayed in CRIU's cgroup namespace
	Session     Rule = "session"      // begun outside of a task's pid namespace
	CgroupTop   Rule = "cgroup-root"  // a cgroup namespace that shows all that CRIU's does
)

// Finding is one thing that CRIU refuses or breaks.
type Finding struct {
	Rule    Rule
	Verdict Verdict
	Type    topology.Type
	// Tasks are those that it is about, by pid.
	Tasks []*topology.Task
	// Namespaces are those that it is about, in the graph's order.
	Namespaces []*topology.Namespace
	// Message is what CRIU says, where it says anything, about the first task.
	// Numbers that only CRIU knows are left out at its end.
	Message string
	Loss    string // what it comes to
	Remedy  string // what to do about it
	// Kept says that package dump/criu keeps it, of a tree that it takes.
	Kept bool
}

// WayOut is what to do about it where it is not known whether renest criu dump takes the
// tree.
func (f Finding) WayOut() string {
	if f.Kept {
		return "renest criu dump, if renest check says that it takes the tree; " + f.Remedy
	}
	return f.Remedy
}

// Kind names what a finding is about, whoever it befalls: "owner net".
func (f Finding) Kind() string { return string(f.Rule) + " " + f.Type.String() }

// String returns the finding in one line, without message, loss and remedy.
func (f Finding) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "CRIU %s: %s", f.Verdict, f.Loss)
	if len(f.Tasks) > 0 {
		b.WriteString(": ")
		b.WriteString(TaskList(f.Tasks))
	}
	return b.String()
}

// TaskList names the first few of some tasks.
func TaskList(tasks []*topology.Task) string {
	const most = 4
	var names []string
	for _, t := range tasks[:min(most, len(tasks))] {
		name := fmt.Sprintf("pid %d", t.PID)
		if t.TID != t.PID {
			name = fmt.Sprintf("%s thread %d", name, t.TID)
		}
		if t.Comm != "" {
			name += " (" + t.Comm + ")"
		}
		names = append(names, name)
	}
	if more := len(tasks) - most; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// Outcome returns what CRIU comes to on a tree with these findings.
func Outcome(findings []Finding) Verdict {
	v := Clean
	for _, f := range findings {
		v = max(v, f.Verdict)
	}
	return v
}

// sortFindings puts those that decide first.
func sortFindings(findings []Finding) {
	slices.SortStableFunc(findings, func(a, b Finding) int { return cmp.Compare(b.Verdict, a.Verdict) })
}
