package dump

import (
	"errors"
	"fmt"
	"slices"

	"github.com/renest/renest/nsfs"
)

// proc is what membership of a tree is decided by.
type proc struct {
	pid, ppid int
	levels    int  // of pid namespaces
	init      bool // of its pid namespace
	in        bool
}

// scanTree reads the tasks of a tree: those whose chain of parents leads to
// root, and those that live in a pid namespace whose init is one of them, or
// below such a one, since they are killed with it (zap_pid_ns_processes,
// kernel/pid_namespace.c).
func (d *dumper) scanTree(root int) error {
	procs, err := d.statuses()
	if err != nil {
		return err
	}
	if _, ok := slices.BinarySearchFunc(procs, root, comparePID); !ok {
		return d.noRoot(root)
	}
	var inits []*node // pid namespaces that die with the tree
	at := map[int]*node{}
	for {
		addDescendants(procs, root)
		grew := false
		for i := range procs {
			if p := &procs[i]; p.in && p.init && at[p.pid] == nil {
				at[p.pid] = d.pidNamespaceOf(p)
				if at[p.pid] != nil && !at[p.pid].external {
					inits, grew = append(inits, at[p.pid]), true
				}
			}
		}
		if !grew {
			break
		}
		for i := range procs {
			if p := &procs[i]; !p.in && p.levels > 1 {
				if at[p.pid] == nil {
					at[p.pid] = d.pidNamespaceOf(p)
				}
				p.in = slices.ContainsFunc(inits, func(n *node) bool { return at[p.pid] != nil && above(n, at[p.pid]) })
			}
		}
	}
	var pids []int
	for _, p := range procs {
		if p.in {
			pids = append(pids, p.pid)
		}
	}
	if err := d.readTasks(pids); err != nil {
		return err
	}
	return d.checkRoot(root)
}

// statuses reads of every process who its parent is.
func (d *dumper) statuses() ([]proc, error) {
	pids, err := d.proc.PIDs(nil)
	if err != nil {
		return nil, fmt.Errorf("dump: %w", err)
	}
	procs := make([]proc, len(pids))
	if _, err := d.parallel(len(pids), func(r *reader, i int) {
		t, err := d.proc.Task(pids[i])
		if err != nil {
			return
		}
		defer t.Close()
		if s := &r.status; t.Status(s) == nil && len(s.NSPID) > 0 {
			procs[i] = proc{pid: pids[i], ppid: s.PPID, levels: len(s.NSPID), init: s.NSPID[len(s.NSPID)-1] == 1}
		}
	}); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(procs, func(p proc) bool { return p.pid == 0 }), nil
}

func comparePID(p proc, pid int) int { return p.pid - pid }

// addDescendants puts root and all below it, and below those that are in
// already, into the tree.
func addDescendants(procs []proc, root int) {
	children := map[int][]int{}
	var todo []int
	for i, p := range procs {
		children[p.ppid] = append(children[p.ppid], i)
		if p.in || p.pid == root {
			todo = append(todo, i)
		}
	}
	seen := map[int]bool{}
	for len(todo) > 0 {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if !seen[i] {
			seen[i], procs[i].in = true, true
			todo = append(todo, children[procs[i].pid]...)
		}
	}
}

// pidNamespaceOf returns the node of a process's pid namespace, nil where it is
// gone or hidden.
func (d *dumper) pidNamespaceOf(p *proc) *node {
	t, err := d.proc.Task(p.pid)
	if err != nil {
		return nil
	}
	defer t.Close()
	ref, err := t.Ref(nsfs.InPID)
	if err != nil {
		if errors.Is(err, nsfs.ErrDenied) && !p.in {
			d.miss.add(taskName(&task{pid: p.pid, tid: p.pid}), "whether it belongs to the tree: permission denied")
		}
		return nil
	}
	return d.byLink(t, nsfs.InPID, ref)
}

// checkRoot makes sure that the tree has its root: it may have gone since, or
// may not be looked at.
func (d *dumper) checkRoot(root int) error {
	for _, t := range d.tasks {
		if t.pid == root && t.tid == root {
			if t.nodes[nsfs.InUser] == nil {
				return fmt.Errorf("dump tree: pid %d: %w (its namespaces are readable to root and, mostly, to its own user)", root, nsfs.ErrDenied)
			}
			return nil
		}
	}
	return d.noRoot(root)
}

func (d *dumper) noRoot(root int) error {
	if t, err := d.proc.Task(root); err == nil { // it is there, as a thread at least
		defer t.Close()
		var s nsfs.Status
		if t.Status(&s) == nil && s.TGID != root && s.TGID != 0 {
			return fmt.Errorf("dump tree: %d is a thread of process %d: give that", root, s.TGID)
		}
	}
	return fmt.Errorf("dump tree: pid %d: %w", root, esrch)
}
