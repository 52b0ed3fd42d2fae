package forecast

import (
	"fmt"

	"github.com/renest/renest/topology"
)

// rootTask is what CRIU asks of the root task alone.
func (s *subject) rootTask() {
	root := []*topology.Task{s.root}
	if n := s.in(topology.PID); s.left(topology.PID) && s.root.NSPID[len(s.root.NSPID)-1] != 1 {
		// dump_namespaces, criu/namespaces.c
		s.report(Finding{
			Rule: NoInit, Verdict: Refuses, Type: topology.PID, Tasks: root, Namespaces: []*topology.Namespace{n},
			Message: "Can't dump a pid namespace without the process init",
			Loss:    "the root task is not the init of its pid namespace",
			Remedy:  "dump from the init of the pid namespace, or name the namespace as external: --external pid[INODE]:LABEL",
			Kept:    true,
		})
	}
	user := s.in(topology.User)
	if !s.left(topology.User) || user == nil {
		return
	}
	// check_user_ns, criu/namespaces.c: a child becomes root of the user namespace
	// and enters the others from there.
	const message = "One or more namespaces doesn't belong to the target user namespace"
	if u := user.User; u != nil && !(mapsZero(u.UIDMap) && mapsZero(u.GIDMap)) {
		s.report(Finding{
			Rule: NoRoot, Verdict: Refuses, Type: topology.User, Tasks: root, Namespaces: []*topology.Namespace{user},
			Message: message,
			Loss:    "uid or gid 0 of the root task's user namespace is not mapped",
			Remedy:  "map uid and gid 0 when the tree is started; renest dump keeps the namespaces without its tasks",
		})
	}
	for _, kind := range []topology.Type{topology.Net, topology.UTS, topology.Time, topology.IPC, topology.Mnt} {
		n := s.in(kind)
		if !s.left(kind) || n.Owner == nil || n.Owner == user || topology.IsAncestor(user, n.Owner) {
			continue
		}
		s.report(Finding{
			Rule: ForeignRoot, Verdict: Refuses, Type: kind, Tasks: root, Namespaces: []*topology.Namespace{n},
			Message: message,
			Loss:    fmt.Sprintf("the root task's %s namespace is not owned by its user namespace", kind),
			Remedy: fmt.Sprintf("run CRIU in that %s namespace, so that the tree shares it: nsenter -t %d --%s criu dump …",
				kind, s.root.PID, kind),
			Kept: true,
		})
	}
}

func mapsZero(m []topology.Extent) bool {
	_, ok := topology.MapDown(m, 0)
	return ok
}
