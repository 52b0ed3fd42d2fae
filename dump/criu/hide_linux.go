package criu

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// disguise hides from the CRIU of a layer what it would refuse, in a mount namespace of
// its own. The first processes of the layers below: CRIU finds a task's children in
// /proc/PID/task/TID/children (parse_children, criu/proc_parse.c), of which it gets to
// see a copy without them. And the namespaces of ApartTypes that the root task is not in:
// it knows a task's namespaces by /proc/PID/ns (__get_ns_id, criu/namespaces.c), which is
// covered.
type disguise struct {
	files []disguised
}

type disguised struct {
	path  string // of the list of children
	shown string // what CRIU is shown
	inner []int
}

// hide leads an agent to where it sees layer l without those below. Without any, it
// stays where it is.
func hide(ctx context.Context, a *agent.Agent, l *Layer, all []*Layer) (*disguise, error) {
	var inner []int
	var lists []string
	for _, below := range all {
		if below.Above != l {
			continue
		}
		inner = append(inner, below.Root.PID)
		parent := l.Root
		if below.Parent != nil {
			parent = below.Parent
		}
		paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent.PID))
		if err != nil {
			return nil, err
		}
		lists = append(lists, paths...)
	}
	d := new(disguise)
	if len(inner)+len(l.Apart) == 0 {
		return d, nil
	}
	slices.Sort(lists)
	lists = slices.Compact(lists)
	var p agent.Program
	p.Call("unshare mounts", unix.SYS_UNSHARE, agent.Int(unix.CLONE_NEWNS))
	p.Call("make mounts private", unix.SYS_MOUNT, agent.Int(0), agent.String("/"), agent.Int(0), agent.Int(unix.MS_REC|unix.MS_PRIVATE), agent.Int(0))
	// The copies are on a tmpfs that only the agent sees, so that nothing is left of them.
	const copies = "/tmp"
	p.Call("mount tmpfs", unix.SYS_MOUNT, agent.String("renest"), agent.String(copies), agent.String("tmpfs"), agent.Int(0), agent.Int(0))
	for i, path := range lists {
		shown, found, err := without(path, inner)
		if err != nil {
			return d, err
		}
		if !found {
			continue
		}
		d.files = append(d.files, disguised{path: path, shown: shown, inner: inner})
		copied := filepath.Join(copies, strconv.Itoa(i))
		file := p.Call("create copy", unix.SYS_OPENAT, agent.Int(unix.AT_FDCWD), agent.String(copied), agent.Int(unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC), agent.Int(0o600))
		p.Call("write copy", unix.SYS_WRITE, file.Ret(), agent.String(shown), agent.Int(len(shown)))
		p.Call("close copy", unix.SYS_CLOSE, file.Ret())
		p.Call("mount over "+path, unix.SYS_MOUNT, agent.String(copied), agent.String(path), agent.Int(0), agent.Int(unix.MS_BIND), agent.Int(0))
	}
	// What is mounted stays without a name.
	p.Call("unmount tmpfs", unix.SYS_UMOUNT2, agent.String(copies), agent.Int(unix.MNT_DETACH))
	for _, t := range l.Apart {
		cover(&p, t.PID, l.Root.PID)
	}
	return d, a.Run(ctx, &p)
}

// cover shows a process in the namespaces of another, of ApartTypes. The links are relative:
// CRIU follows them in other mount namespaces, too.
func cover(p *agent.Program, pid, other int) {
	dir := fmt.Sprintf("/proc/%d/ns", pid)
	p.Call("mount over "+dir, unix.SYS_MOUNT, agent.String("renest"), agent.String(dir), agent.String("tmpfs"), agent.Int(0), agent.Int(0))
	for l := nsfs.InUser; l <= nsfs.TimeForChildren; l++ {
		to := fmt.Sprintf("../task/%d/ns/%s", pid, l)
		if slices.Contains(ApartTypes[:], topology.Link(l).Type()) {
			to = fmt.Sprintf("../../%d/ns/%s", other, l)
		}
		p.Call("link "+dir, unix.SYS_SYMLINKAT, agent.String(to), agent.Int(unix.AT_FDCWD), agent.String(filepath.Join(dir, l.String())))
	}
}

// without reads a list of children and leaves out some, of which found says whether
// there were any.
func without(path string, pids []int) (rest string, found bool, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", false, err
	}
	for field := range strings.FieldsSeq(string(text)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			return "", false, fmt.Errorf("%s: %w", path, err)
		}
		if slices.Contains(pids, pid) {
			found = true
			continue
		}
		rest += field + " "
	}
	return rest, found, nil
}

// check reports, with the tasks frozen, whether what CRIU is shown is still so: a
// child born meanwhile would be lost.
func (d *disguise) check() error {
	if d == nil {
		return nil
	}
	for _, f := range d.files {
		if now, _, err := without(f.path, f.inner); err != nil || now != f.shown {
			return fmt.Errorf("%s changed while the tree was about to be frozen: try again", f.path)
		}
	}
	return nil
}
