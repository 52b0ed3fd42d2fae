package criu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	gocriu "github.com/checkpoint-restore/go-criu/v7"
	"github.com/checkpoint-restore/go-criu/v7/rpc"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// Options say what to dump, and how.
type Options struct {
	Tree dump.TaskReference // the tree's root
	Dir  string             // an existing folder, for everything
	CRIU string             // the program; "criu" in PATH by default
	// Config has lines of a configuration file of CRIU's, see [Config].
	Config []string
	// WriteImage writes the topology into the folder, as nstree.img. Required.
	WriteImage func(dir string, g *topology.Graph) error
	// Dump says how the topology is looked at.
	Dump dump.Options
}

// Result is a finished dump.
type Result struct {
	Graph  *topology.Graph
	Layers []*Layer
	Record *Record
	Notes  []string // what is not saved
}

// Dump has CRIU dump a tree, layer by layer, with all of it frozen from the moment on
// at which its outermost part is. Unless the options leave it running, the tree is
// gone afterwards. On an error it runs on as if nothing had been: what can be known
// beforehand is refused before anything is frozen, and a failure of a later part is a
// veto to those before it. What was written until then stays in the folder.
func Dump(ctx context.Context, o Options) (*Result, error) {
	d, err := open(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("dump with CRIU: %w", err)
	}
	defer d.proc.Close()
	if err := d.plan(ctx); err != nil {
		return nil, fmt.Errorf("pid %s cannot be dumped:\n%w", o.Tree, err)
	}
	if err := d.run(ctx); err != nil {
		return nil, fmt.Errorf("dump with CRIU: pid %s: %w", o.Tree, err)
	}
	return &Result{Graph: d.graph, Layers: d.layers, Record: d.record, Notes: d.notes}, nil
}

type dumper struct {
	o       Options
	proc    *nsfs.Proc
	graph   *topology.Graph
	layers  []*Layer
	record  *Record
	notes   []string
	version int
}

func open(ctx context.Context, o Options) (*dumper, error) {
	if o.CRIU == "" {
		o.CRIU = "criu"
	}
	var err error
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	d := &dumper{o: o}
	if o.CRIU, d.version, err = Find(o.CRIU); err != nil {
		return nil, err
	}
	d.o.CRIU = o.CRIU
	d.o.Dump.Inits = true
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d.proc, err = nsfs.OpenProc()
	return d, err
}

// plan looks at the tree while it runs, and refuses what CRIU cannot take.
func (d *dumper) plan(ctx context.Context) error {
	host, err := dump.OpenHost()
	if err != nil {
		return err
	}
	defer host.Close()
	if d.o.Tree, err = host.Identify(d.o.Tree); err != nil {
		return err
	}
	d.o.Dump.CopiedBinds = true
	d.graph, d.layers, err = d.look(ctx)
	d.o.Dump.CopiedBinds = false // what is not the tree's own is not for the image
	if !external(d.o.Config) {
		err = errors.Join(err, judgeBinds(d.graph, d.layers))
	}
	if err != nil {
		return err
	}
	for _, t := range d.graph.Tasks {
		if t.PID == os.Getpid() {
			return errors.New("renest itself is part of it")
		}
	}
	d.record = &Record{Version: recordVersion, CRIU: d.version}
	for i, l := range d.layers {
		r := LayerRecord{Dir: ".", PID: l.Root.PID}
		if len(d.layers) > 1 {
			r.Dir = fmt.Sprintf("layer-%d", i)
		}
		if r.Root, err = findRoot(d.proc, l.Root.PID, os.Getpid()); err != nil {
			return err
		}
		if r.Root == "" && l.Above != nil {
			r.Root, err = findRoot(d.proc, l.Root.PID, l.Above.Root.PID)
			if r.Inside = r.Root != ""; err != nil {
				return err
			}
		}
		if l.Parent != nil {
			r.Parent = l.Parent.PID
		}
		d.notes = append(d.notes, lostDevices(l)...)
		for _, n := range l.Outside {
			r.External = append(r.External, External{Label: fmt.Sprintf("renest-net-%d", n.Ino), Namespace: n.Name()})
		}
		d.record.Layers = append(d.record.Layers, r)
	}
	return nil
}

// look dumps the topology of the tree and splits it.
func (d *dumper) look(ctx context.Context) (*topology.Graph, []*Layer, error) {
	g, err := dump.TreeOf(ctx, d.o.Tree, d.o.Dump)
	if err != nil {
		return nil, nil, err
	}
	parents := map[int]int{}
	for _, t := range g.Tasks {
		if t.TID == t.PID {
			parents[t.PID] = parent(d.proc, t.PID)
		}
	}
	layers, err := Split(g, parents)
	err = errors.Join(err, d.judgeShared(layers))
	for _, l := range layers {
		err = errors.Join(err, judgeIDs(l), judgeConnections(l), judgeDevices(l), d.judgeApart(l), d.judgeSessions(l), d.judgeCredentials(l), d.judgeQueues(ctx, l), d.judgeLoopback(ctx, l))
	}
	return g, layers, err
}

// parent returns the parent of a process, 0 where that has ended.
func parent(proc *nsfs.Proc, pid int) int {
	t, err := proc.Task(pid)
	if err != nil {
		return 0
	}
	defer t.Close()
	var s nsfs.Status
	if err := t.Status(&s); err != nil {
		return 0
	}
	return s.PPID
}

// settle looks at the frozen tree and writes what it saw, unless that is not what was
// planned for.
func (d *dumper) settle(ctx context.Context) error {
	g, layers, err := d.look(ctx)
	if err != nil {
		return err
	}
	if was, is := outline(d.layers), outline(layers); was != is {
		return fmt.Errorf("the tree changed while it was about to be dumped: it was %s, and is %s; try again", was, is)
	}
	d.graph, d.layers = g, layers
	for i, l := range layers {
		d.record.Layers[i].Groups = l.groups
	}
	record, err := d.record.Encode()
	if err != nil {
		return err
	}
	if err := createWith(filepath.Join(d.o.Dir, RecordName), record); err != nil {
		return err
	}
	return d.o.WriteImage(d.o.Dir, g)
}

// outline describes what CRIU was told of layers.
func outline(layers []*Layer) string {
	var list []string
	for _, l := range layers {
		s := fmt.Sprintf("pid %d in %s", l.Root.PID, l.User().Name())
		if l.Parent != nil {
			s += fmt.Sprintf(" as a child of %d", l.Parent.PID)
		}
		for _, n := range append(append([]*topology.Namespace{}, l.Join...), l.Outside...) {
			s += " " + n.Name()
		}
		for _, t := range l.Apart {
			for _, typ := range ApartTypes {
				if n := t.Namespaces[topology.LinkOf(typ)]; n != nil {
					s += fmt.Sprintf(", %d in %s", t.PID, n.Name())
				}
			}
		}
		list = append(list, s)
	}
	return strings.Join(list, ", ")
}

// request is what CRIU is asked for a layer.
func (d *dumper) request(i int, config string) *rpc.CriuOpts {
	l, r := d.layers[i], d.record.Layers[i]
	o := &rpc.CriuOpts{
		ImagesDirFd:       new(int32(-1)),
		ImagesDir:         new(d.layerDir(i)),
		Pid:               new(int32(l.Root.PID)),
		LogLevel:          new(int32(4)),
		LogToStderr:       new(true),
		ManageCgroupsMode: rpc.CriuCgMode_IGNORE.Enum(),
		NetworkLock:       networkLock(l),
		TcpEstablished:    new(true),
		FileLocks:         new(true),
	}
	if config != "" {
		o.ConfigFile = new(config)
	}
	for _, e := range r.External {
		_, ino, _ := topology.ParseName(e.Namespace) // made by Name
		o.External = append(o.External, fmt.Sprintf("net[%d]:%s", ino, e.Label))
	}
	if n := l.In(topology.PID); !l.Init() && !n.External {
		o.External = append(o.External, fmt.Sprintf("pid[%d]:renest-pid", n.Ino))
	}
	return o
}

// networkLock chooses how CRIU keeps packets from what is frozen: not at all where none
// can come, for nf_tables is a module that not every kernel has.
func networkLock(l *Layer) *rpc.CriuNetworkLockMethod {
	n := l.In(topology.Net)
	own := !n.External && !l.Joins(n)
	if list, err := devices(l.Root.PID); own && err == nil && len(list) == 0 {
		return rpc.CriuNetworkLockMethod_SKIP.Enum()
	}
	return rpc.CriuNetworkLockMethod_NFTABLES.Enum()
}

func (d *dumper) layerDir(i int) string { return filepath.Join(d.o.Dir, d.record.Layers[i].Dir) }

// Find returns the absolute path of a CRIU, and its version as go-criu has it.
func Find(name string) (path string, version int, err error) {
	if path, err = lookPath(name); err != nil {
		return "", 0, err
	}
	c := gocriu.MakeCriu()
	c.SetCriuPath(path)
	if version, err = c.GetCriuVersion(); err != nil {
		return "", 0, fmt.Errorf("%s: ask for its version: %w", path, err)
	}
	if version < MinVersion {
		return "", 0, fmt.Errorf("%s is CRIU %s: it takes 4.2 or later, whose --unprivileged restores sockets", path, VersionText(version))
	}
	return path, version, nil
}

// VersionText writes a version as CRIU does: 4.2.1 for 40201.
func VersionText(v int) string {
	s := fmt.Sprintf("%d.%d", v/10000, v/100%100)
	if v%100 != 0 {
		s += fmt.Sprintf(".%d", v%100)
	}
	return s
}
