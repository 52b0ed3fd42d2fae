package forecast

import (
	"fmt"

	"github.com/renest/renest/topology"
)

// keeps is the way out for what CRIU does not record.
const keeps = "renest dump, and renest as CRIU's hook, keep it in nstree.img"

// edges judges owner and parent of a namespace that CRIU restores. It asks for
// neither (it has no NS_GET_USERNS and no NS_GET_PARENT): whatever it makes is
// owned by the root task's user namespace, which is made in CRIU's own.
func (s *subject) edges(n *topology.Namespace) {
	if n.External || !s.lived[n] {
		return
	}
	rooted := n == s.in(n.Type)
	switch {
	case !rooted && n.Type != topology.Net && n.Type != topology.Mnt:
		return // CRIU refuses it
	case n.Type == topology.Cgroup && s.cgroupLost():
		return
	case n.Type == topology.User:
	case n.Owner != nil && n.Owner != s.in(topology.User):
		s.report(Finding{
			Rule: Owner, Verdict: Loses, Type: n.Type, Tasks: s.members(n), Namespaces: []*topology.Namespace{n},
			Loss:   fmt.Sprintf("a %s namespace owned by %s returns owned by the root task's user namespace", n.Type, n.Owner.Name()),
			Remedy: keeps, Kept: true,
		})
	}
	if rooted && n.Type.HasParent() && n.Parent != nil && n.Parent != s.own[n.Type] {
		s.report(Finding{
			Rule: Depth, Verdict: Loses, Type: n.Type, Tasks: []*topology.Task{s.root}, Namespaces: []*topology.Namespace{n},
			Loss:   fmt.Sprintf("a %s namespace that is %d levels deep returns one level deep", n.Type, n.Level()-s.own[n.Type].Level()),
			Remedy: keeps, Kept: true,
		})
	}
}

// userState is what CRIU does not save of a user namespace (images/userns.proto).
// It restores as root, and writes maps as root does.
func (s *subject) userState() {
	user := s.in(topology.User)
	if !s.left(topology.User) || user == nil || user.User == nil {
		return
	}
	f := Finding{
		Verdict: Loses, Type: topology.User, Tasks: []*topology.Task{s.root}, Namespaces: []*topology.Namespace{user},
		Remedy: keeps, Kept: true,
	}
	if uid := user.User.OwnerUID; uid != 0 && user.Parent == s.own[topology.User] {
		f.Rule, f.Loss = Creator, fmt.Sprintf("a user namespace created by uid %d returns created by CRIU's: that uid has no power over it", uid)
		s.report(f)
	}
	if user.User.Setgroups == "deny" {
		f.Rule, f.Loss = Setgroups, "a user namespace that denies setgroups(2) returns allowing it"
		s.report(f)
	}
}

// silent is what CRIU does not look at.
func (s *subject) silent() {
	s.userState()
	if n := s.in(topology.Cgroup); s.cgroupLost() {
		s.report(Finding{
			Rule: CgroupTop, Verdict: Loses, Type: topology.Cgroup, Tasks: s.members(n), Namespaces: []*topology.Namespace{n},
			Loss:   "a cgroup namespace that was made in the root cgroup: its tasks return in CRIU's",
			Remedy: "start the tree in a cgroup of its own", Kept: true,
		})
	}
	for _, t := range s.tasks {
		of, in := t.Namespaces[topology.PIDForChildren], t.Namespaces[topology.InPID]
		if of != nil && of != in {
			s.report(Finding{
				Rule: Children, Verdict: Loses, Type: topology.PID, Tasks: []*topology.Task{t}, Namespaces: []*topology.Namespace{of},
				Loss:   "the pid namespace for its children: they will be in its own",
				Remedy: "let the task fork before the dump, or unshare again after the restore; renest dump keeps the namespace",
			})
		}
	}
	for _, t := range s.threads {
		leader := s.byPID[t.PID]
		if leader == nil {
			continue
		}
		for l, n := range t.Namespaces {
			if n != nil && n != leader.Namespaces[l] {
				s.report(Finding{
					Rule: Thread, Verdict: Loses, Type: n.Type, Tasks: []*topology.Task{t}, Namespaces: []*topology.Namespace{n},
					Loss:   fmt.Sprintf("the %s namespace of a thread: it returns in its process's", n.Type),
					Remedy: "let the thread return to its process's namespaces before the dump; renest dump keeps the namespace",
				})
			}
		}
	}
	for _, t := range s.zombies {
		for _, l := range []topology.Link{topology.InUser, topology.InPID} {
			if n := t.Namespaces[l]; n != nil && n != s.root.Namespaces[l] {
				s.report(Finding{
					Rule: Zombie, Verdict: Loses, Type: n.Type, Tasks: []*topology.Task{t}, Namespaces: []*topology.Namespace{n},
					Loss:   fmt.Sprintf("the %s namespace of a zombie: it returns in the root task's", n.Type),
					Remedy: "have its parent reap it",
				})
			}
		}
	}
}

// members returns the tasks in a namespace.
func (s *subject) members(n *topology.Namespace) []*topology.Task {
	var in []*topology.Task
	for _, t := range s.tasks {
		if t.Namespaces[topology.LinkOf(n.Type)] == n {
			in = append(in, t)
		}
	}
	return in
}
