package forecast

import (
	"fmt"

	"github.com/renest/renest/topology"
)

// pins judges what keeps a namespace alive beside its tasks.
func (s *subject) pins(n *topology.Namespace) {
	for _, p := range n.Pins {
		switch p.Kind {
		case topology.PinFD, topology.PinInFlight:
			s.descriptor(n, p)
		case topology.PinBind:
			s.bind(n, p)
		}
	}
}

// descriptor is dump_one_ns_file and open_ns_fd (criu/namespaces.c): a namespace
// is known by a task of the tree that is in it, and on dump CRIU's own are known
// besides.
func (s *subject) descriptor(n *topology.Namespace, p topology.Pin) {
	t := s.byPID[p.PID]
	if t == nil || s.lived[n] {
		return
	}
	f := Finding{Type: n.Type, Tasks: []*topology.Task{t}, Namespaces: []*topology.Namespace{n}}
	if n == s.own[n.Type] {
		f.Rule, f.Verdict = OwnDesc, Destroys
		f.Message = "Can't find suitable NS ID for"
		f.Loss = fmt.Sprintf("a descriptor of CRIU's own %s namespace, which no task of the tree is in: the dump succeeds and no restore does", n.Type)
		f.Remedy = "have the task close the descriptor"
	} else {
		f.Rule, f.Verdict = Descriptor, Refuses
		f.Message = fmt.Sprintf("No NS ID with kid %d", n.Ino)
		f.Loss = fmt.Sprintf("a descriptor of a %s namespace that no task is in", n.Type)
		f.Remedy = "have the task close the descriptor, or keep a task in the namespace; renest dump keeps the namespace"
	}
	s.report(f)
}

// bind is validate_mounts (criu/mount.c): nsfs is no file system that CRIU can
// mount, and none that it takes for external by itself.
func (s *subject) bind(n *topology.Namespace, p topology.Pin) {
	if p.Mnt == nil || !s.lived[p.Mnt] || p.Mnt == s.own[topology.Mnt] {
		return
	}
	var tasks []*topology.Task
	for _, t := range s.tasks {
		if t.Namespaces[topology.InMnt] == p.Mnt {
			tasks = append(tasks, t)
		}
	}
	s.report(Finding{
		Rule: Bind, Verdict: Refuses, Type: n.Type, Tasks: tasks, Namespaces: []*topology.Namespace{n},
		Message: "doesn't have a proper root mount",
		Loss:    fmt.Sprintf("a bind mount of a %s namespace at %s", n.Type, p.Path),
		Remedy:  fmt.Sprintf("unmount it, or name the mount as external: --external mnt[%s]:LABEL; renest dump keeps the namespace", p.Path),
	})
}
