package dump

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/renest/renest/nsfs"
)

// proc is what membership of a tree is decided by.
type proc struct {
	pid, ppid int
	levels    int  // of pid namespaces
	init      bool // of its pid namespace
	in        bool // the tree
	over      bool // it is the init of a pid namespace above, and wanted
	asked     bool // for its pid namespace
	hidden    bool // which may not be looked at
	space     *node
}

// scanTree reads the tasks of a tree: those whose chain of parents leads to
// root, and those that live in a pid namespace whose init is one of them, or
// below such a one, since they are killed with it (zap_pid_ns_processes,
// kernel/pid_namespace.c).
func (d *dumper) scanTree(r TaskReference) error {
	root := d.root
	if err := d.checkStart(r); err != nil {
		return err
	}
	if err := d.readInherited(); err != nil {
		return fmt.Errorf("dump: %w", err)
	}
	if d.opts.Processes != nil || d.opts.Offspring {
		pids := append([]int{root}, d.opts.Processes...)
		if d.opts.Offspring {
			pids = d.offspring(pids)
		}
		slices.Sort(pids)
		if err := d.readFresh(slices.Compact(pids)); err != nil {
			return err
		}
		return d.checkRoot(r)
	}
	grew, err := d.statuses()
	if err != nil {
		return err
	}
	if _, ok := slices.BinarySearchFunc(d.procs, root, comparePID); d.look == 1 && !ok {
		return d.noRoot(root)
	}
	if grew {
		d.addDoomed(d.procs, root)
		if d.opts.Inits {
			d.addInits(d.procs, root)
		}
	}
	var pids []int
	for _, p := range d.procs {
		if p.in || p.over {
			pids = append(pids, p.pid)
		}
	}
	if err := d.readFresh(pids); err != nil {
		return err
	}
	return d.checkRoot(r)
}

// addDoomed puts into the tree its root and all below it, and what will be killed
// with that.
func (d *dumper) addDoomed(procs []proc, root int) {
	guests := joined(procs)
	for {
		addDescendants(procs, root)
		var doomed []*node // pid namespaces whose init is in the tree
		for i := range procs {
			if p := &procs[i]; p.in && p.init && d.spaceOf(p) != nil && !p.space.external {
				doomed = append(doomed, p.space)
			}
		}
		grew := false
		for _, p := range guests {
			if !p.in && d.livesIn(p, doomed) {
				p.in, grew = true, true
			}
		}
		if !grew {
			return
		}
	}
}

// addInits marks the inits of the pid namespaces above that of root.
func (d *dumper) addInits(procs []proc, root int) {
	i, ok := slices.BinarySearchFunc(procs, root, comparePID)
	if !ok {
		return
	}
	space := d.spaceOf(&procs[i])
	for i := range procs {
		if p := &procs[i]; p.init && !p.in {
			n := d.spaceOf(p)
			p.over = n != nil && !n.external && above(n, space)
		}
	}
}

// livesIn reports whether a process lives in one of these pid namespaces or below.
// Where its own link may not be read, each of the namespaces is asked whether the
// process has a number in it.
func (d *dumper) livesIn(p *proc, spaces []*node) bool {
	if len(spaces) == 0 {
		return false
	}
	if n := d.spaceOf(p); n != nil {
		return slices.ContainsFunc(spaces, func(s *node) bool { return above(s, n) })
	}
	if !p.hidden {
		return false // gone
	}
	for _, s := range spaces {
		ns, err := d.reopen(s)
		if err != nil {
			continue
		}
		_, err = ns.PIDOf(p.pid)
		_ = ns.Close()
		if err == nil {
			return true
		}
		if !d.pidt {
			d.miss.add("pid "+strconv.Itoa(p.pid), "whether it belongs to the tree: permission denied")
		}
	}
	return false
}

// joined returns the processes that entered a pid namespace from outside, by
// setns(2) and fork(2): all others are in that of their parent, or are the init
// of one right below it, and share its fate with it.
func joined(procs []proc) []*proc {
	byPID := make(map[int]*proc, len(procs))
	for i := range procs {
		byPID[procs[i].pid] = &procs[i]
	}
	var list []*proc
	for i := range procs {
		p := &procs[i]
		parent := byPID[p.ppid]
		switch {
		case p.levels <= 1:
		case parent == nil:
			list = append(list, p)
		case p.levels != parent.levels && !(p.init && p.levels == parent.levels+1):
			list = append(list, p)
		}
	}
	return list
}

// statuses reads, of every process that was not there at the last look, who its
// parent is, and reports whether there was one.
func (d *dumper) statuses() (grew bool, err error) {
	pids, err := d.proc.PIDs(nil)
	if err != nil {
		return false, fmt.Errorf("dump: %w", err)
	}
	known := make(map[int]proc, len(d.procs))
	for _, p := range d.procs {
		known[p.pid] = p
	}
	procs := make([]proc, len(pids))
	readers, err := d.parallel(len(pids), func(r *reader, i int) {
		if p, ok := known[pids[i]]; ok {
			procs[i] = p
			return
		}
		if d.inner != nil && d.inner.crew.Has(pids[i]) {
			return
		}
		t, err := d.proc.Task(pids[i])
		if err != nil {
			r.notRead("pid "+strconv.Itoa(pids[i]), err)
			return
		}
		defer t.Close()
		s := &r.status
		if err := t.Status(s); err != nil {
			r.notRead("pid "+strconv.Itoa(pids[i]), err)
			return
		}
		if len(s.NSPID) > 0 {
			procs[i] = proc{pid: pids[i], ppid: s.PPID, levels: len(s.NSPID), init: s.NSPID[len(s.NSPID)-1] == 1}
			r.fresh = true
		}
	})
	for _, r := range readers {
		grew = grew || r.fresh
		d.lostTasks += r.lost
	}
	d.procs = slices.DeleteFunc(procs, func(p proc) bool { return p.pid == 0 })
	return grew, err
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

// spaceOf returns the node of a process's pid namespace, nil where it is gone or
// hidden.
func (d *dumper) spaceOf(p *proc) *node {
	if p.asked {
		return p.space
	}
	p.asked = true
	t, err := d.proc.Task(p.pid)
	if err != nil {
		return nil
	}
	defer t.Close()
	ref, err := t.Ref(nsfs.InPID)
	if err != nil {
		p.hidden = errors.Is(err, nsfs.ErrDenied)
		return nil
	}
	p.space, _ = d.byLink(t, nsfs.InPID, ref, nil)
	return p.space
}

// checkRoot makes sure that the tree has its root: it may have gone since, or
// may not be looked at. If it is the process that was meant now, it was so all the
// time.
func (d *dumper) checkRoot(r TaskReference) error {
	root := d.root
	for _, t := range d.tasks {
		if t.pid == root && t.tid == root {
			if t.hidden {
				return fmt.Errorf("dump tree: pid %d: %w (its namespaces are readable to root and, mostly, to its own user)", root, nsfs.ErrDenied)
			}
			return d.checkStart(r)
		}
	}
	return d.noRoot(root)
}

// checkStart makes sure that the root is the process with the start time of r, if
// that has one.
func (d *dumper) checkStart(r TaskReference) error {
	if r.loc.Start == 0 {
		return nil
	}
	t, err := r.loc.Open(d.proc)
	if err != nil {
		return fmt.Errorf("dump tree: %w", err)
	}
	t.Close()
	return nil
}

func (d *dumper) noRoot(root int) error {
	if t, err := d.proc.Task(root); err == nil { // it is there, as a thread at least
		defer t.Close()
		var s nsfs.Status
		if t.Status(&s) == nil && s.TGID != root && s.TGID != 0 {
			return fmt.Errorf("dump tree: %d is a thread of process %d: give that", root, s.TGID)
		}
	}
	if h := d.proc.Hides(); h != "" {
		return fmt.Errorf("dump tree: pid %d, unless /proc hides it (%s): %w", root, h, esrch)
	}
	return fmt.Errorf("dump tree: pid %d: %w", root, esrch)
}
