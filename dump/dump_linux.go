package dump

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"

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
	return TreeOf(ctx, TaskReference{nsfs.TaskLocator{PID: pid}}, o)
}

// TreeOf is [Tree] for the process that r refers to. Where r has a start time, the
// dump is of that very process, or an error: its number may be another's by now, or
// before the dump ends.
func TreeOf(ctx context.Context, r TaskReference, o Options) (*topology.Graph, error) {
	return run(ctx, o, func(d *dumper) error {
		d.root = r.PID()
		return d.scanTree(r)
	})
}

// All dumps every namespace that can be found. The caller's own are External.
func All(ctx context.Context, o Options) (*topology.Graph, error) {
	return run(ctx, o, func(d *dumper) error { return d.scanAll() })
}

// dumper is one dump in the making.
type dumper struct {
	ctx       context.Context // it lives as long as the one call
	opts      Options
	proc      *nsfs.Proc
	self      nsfs.Task
	dev       nsfs.Dev
	ids       bool              // the kernel has ids
	pidt      bool              // the kernel translates pids
	pidfds    bool              // a pidfd opens namespaces, and their ids say which they are
	sees      bool              // listns(2) shows everything
	filtered  bool              // listns(2) is there, and leaves out what the caller may not see
	inherited map[nsfs.Ref]bool // of a tree: bound in the caller's mount namespace as well

	root int

	reg   *registry
	miss  missing
	own   [nsfs.PIDForChildren]*node // nil of what the kernel does not have
	kept  []*nsfs.NS                 // those, see held
	fds   ownFDs
	first nsfs.Link    // that a task has, to its very end
	look  int          // which look at the sources this is
	sure  bool         // most are read: of each namespace make sure that it is that of its number
	read  map[int]bool // the tasks that were read
	procs []proc       // of a tree: every process, and whether it belongs to it
	socks sockets
	tasks []*task
	pins  []pin
	inner *inside           // agents, nil until they are needed
	fresh map[string]string // settings of a fresh net namespace

	ahead      func() (*inside, error) // of agents that are being started, nil where none are
	freshAsked bool                    // for the settings of a fresh net namespace

	lostTasks      int          // of this look: that had ended before they were read
	followed       atomic.Int64 // sockets in flight
	flown          atomic.Int64 // pins in flight
	unknownSockets []unknownSocket
	unopened       []unopened

	active      []nsfs.ID // what listns(2) listed before anything was opened
	listedNodes []*node   // that only listns(2) led to
	nodes       []*node   // what the dump holds
	spare       []topology.Namespace
	lost        []*node // cgroup namespaces whose root no task shows
}

// pin is a descriptor or a bind mount that keeps a namespace alive.
type pin struct {
	node *node
	topology.Pin
	mnt     *node
	passive bool // it keeps the namespace alive, and not active
	sure    bool // that the namespace is that of its number was checked
}

func run(ctx context.Context, o Options, scan func(*dumper) error) (g *topology.Graph, err error) {
	d := &dumper{
		ctx: ctx, opts: o, reg: newRegistry(),
		read: map[int]bool{}, socks: sockets{known: map[uint64]*knownSocket{}},
	}
	if err := d.open(); err != nil {
		return nil, fmt.Errorf("dump: %w", err)
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.scan(scan); err != nil {
		return nil, err
	}
	return d.graph()
}

func (d *dumper) scan(scan func(*dumper) error) error {
	d.startAhead()
	for _, step := range []func() error{
		d.listActive,
		d.readOwn,
		func() error { return d.lookUntilStable(scan) },
		d.settle,
		d.readLife,
		d.readState,
	} {
		if err := d.ended(); err != nil {
			return err
		}
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// ended says why the dump was told to end before it was done, if it was.
func (d *dumper) ended() error {
	if err := context.Cause(d.ctx); err != nil {
		return fmt.Errorf("dump: %w", err)
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
		return errors.Join(err, d.close())
	}
	return nil
}

func (d *dumper) probe() error {
	var err error
	if d.dev, err = d.proc.NSDev(); err != nil {
		return err
	}
	if err := d.readOwnFDs(); err != nil {
		return err
	}
	d.ids = nsfs.HaveNSID(d.proc) == nil
	d.pidfds = d.ids && roomy() && nsfs.HavePIDFDNamespaces(d.proc) == nil
	d.pidt = nsfs.HavePIDTranslation(d.proc) == nil
	d.miss.hiding(d.proc)
	return d.chooseSource()
}

func (d *dumper) close() error {
	var err error
	if d.ahead != nil { // nothing needed them
		d.inner, err = d.ahead()
	}
	if d.inner != nil {
		err = errors.Join(err, d.inner.close())
	}
	for _, ns := range d.kept {
		_ = ns.Close()
	}
	d.self.Close()
	_ = d.proc.Close()
	return err
}

// roomy reports whether the limit of open files leaves room for the descriptors that
// make a dump quick, and that it can do without: its caller's own namespaces, and a
// few for each task that is read at a time.
func roomy() bool {
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	return err == nil && limit.Cur >= uint64(64+8*runtime.GOMAXPROCS(0))
}

// keepOpen opens one of the caller's own namespaces until the end, see held.
func (d *dumper) keepOpen(l nsfs.Link) {
	if ns, err := d.self.Open(l); err == nil {
		d.kept = append(d.kept, ns)
	}
}

// readOwn describes the caller's own namespaces, which are external to any dump,
// with all that is above them.
func (d *dumper) readOwn() error {
	for l := range nsfs.Link(nsfs.NumLinks) {
		ref, err := d.self.Ref(l)
		if errors.Is(err, nsfs.ErrGone) {
			continue // the kernel has no such type, or its children's is unborn
		}
		if err != nil {
			return fmt.Errorf("dump: %w", err)
		}
		if n, _ := d.byLink(d.self, l, ref, nil); l < nsfs.PIDForChildren {
			d.own[l] = n
			if d.pidfds {
				d.keepOpen(l)
			}
		}
	}
	d.first = nsfs.NumLinks
	for _, l := range []nsfs.Link{nsfs.InPID, nsfs.InUser} {
		if d.own[l] != nil {
			d.first = l
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
		if n != nil {
			n.held, n.checked = true, true
		}
	}
	return nil
}
