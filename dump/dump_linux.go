package dump

import (
	"context"
	"errors"
	"fmt"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// Tree dumps the namespaces of process pid, of its descendants, and of every
// task that lives in a pid namespace of theirs and so dies with them: those of
// their threads, descriptors and, except in the caller's own mount namespace,
// bind mounts; then all owners and parents. The caller's own eight namespaces,
// and what is above those, are External.
//
// It is an error that pid does not exist or may not be looked at; of the others,
// what could not be read is in Header.Missing.
func Tree(ctx context.Context, pid int, o Options) (*topology.Graph, error) {
	return run(ctx, o, func(d *dumper) error {
		d.root = pid
		return d.scanTree(pid)
	})
}

// All dumps every namespace that can be found. The caller's own are External.
func All(ctx context.Context, o Options) (*topology.Graph, error) {
	return run(ctx, o, func(d *dumper) error { return d.scanAll() })
}

// dumper is one dump in the making.
type dumper struct {
	ctx  context.Context // it lives as long as the one call
	opts Options
	proc *nsfs.Proc
	self nsfs.Task
	dev  nsfs.Dev
	ids  bool // the kernel has ids
	pidt bool // the kernel translates pids
	sees bool // listns(2) shows everything
	root int

	reg   registry
	miss  missing
	own   []*node
	fds   map[int]nsfs.Ref // the caller's own, from before the dump opened any
	tasks []*task
	pins  []pin

	listedNodes []*node // that only listns(2) led to
	nodes       []*node // what the dump holds
	lost        []*node // cgroup namespaces whose root no task shows
}

// pin is a descriptor or a bind mount that keeps a namespace alive.
type pin struct {
	node *node
	topology.Pin
	mnt *node
}

func run(ctx context.Context, o Options, scan func(*dumper) error) (*topology.Graph, error) {
	d := &dumper{ctx: ctx, opts: o, reg: registry{nodes: map[nsfs.Ref]*node{}}}
	if err := d.open(); err != nil {
		return nil, fmt.Errorf("dump: %w", err)
	}
	defer d.close()
	if err := d.scan(scan); err != nil {
		return nil, err
	}
	return d.graph()
}

func (d *dumper) scan(scan func(*dumper) error) error {
	for _, step := range []func() error{
		d.readOwn,
		func() error { return scan(d) },
		d.scanListed,
		d.recheck,
		d.settle,
		d.readLife,
		d.readState,
	} {
		if err := d.ctx.Err(); err != nil {
			return fmt.Errorf("dump: %w", context.Cause(d.ctx))
		}
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// open gets hold of /proc and asks the kernel what it has.
func (d *dumper) open() error {
	p, err := nsfs.OpenProc()
	if err != nil {
		return err
	}
	d.proc = p
	if d.self, err = p.Self(); err != nil {
		return errors.Join(err, p.Close())
	}
	if err := d.probe(); err != nil {
		d.close()
		return err
	}
	return nil
}

func (d *dumper) probe() error {
	var err error
	if d.dev, err = d.proc.NSDev(); err != nil {
		return err
	}
	d.fds = map[int]nsfs.Ref{}
	if _, err = d.self.FDs(d.dev, nil, func(fd int, r nsfs.Ref) { d.fds[fd] = r }); err != nil {
		return err
	}
	d.ids = nsfs.HaveNSID(d.proc) == nil
	d.pidt = nsfs.HavePIDTranslation(d.proc) == nil
	for _, l := range d.proc.Limits() {
		if ok, err := nsfs.HasCapability(capSysPtrace); err != nil || !ok {
			d.miss.add("/proc", "mounted with "+l+", tasks of others are not shown")
		}
	}
	return d.chooseSource()
}

const capSysPtrace = 19 // CAP_SYS_PTRACE, include/uapi/linux/capability.h

func (d *dumper) close() {
	d.self.Close()
	_ = d.proc.Close()
}

// readOwn describes the caller's own namespaces, which are external to any dump,
// with all that is above them.
func (d *dumper) readOwn() error {
	for l := range nsfs.Link(nsfs.NumLinks) {
		ref, err := d.self.Ref(l)
		if errors.Is(err, nsfs.ErrGone) {
			continue // time namespaces came with Linux 5.6; for_children may be unborn
		}
		if err != nil {
			return fmt.Errorf("dump: %w", err)
		}
		if n := d.byLink(d.self, l, ref); l < nsfs.PIDForChildren {
			d.own = append(d.own, n)
		}
	}
	var mark func(*node)
	mark = func(n *node) {
		if n != nil && !n.external {
			n.external = true
			mark(n.owner)
			mark(n.parent)
		}
	}
	for _, n := range d.own {
		mark(n)
	}
	return nil
}
