package criu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	gocriu "github.com/checkpoint-restore/go-criu/v7"
	"github.com/checkpoint-restore/go-criu/v7/rpc"
	"golang.org/x/sys/unix"

	dumpcriu "github.com/renest/renest/dump/criu"
	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// layerRun is one CRIU at work.
type layerRun struct {
	gocriu.NoNotify

	r       *restorer
	ctx     context.Context
	index   int
	layer   *layer
	crew    *agent.Crew
	agent   *agent.Agent // where CRIU runs
	service *dumpcriu.Service
	stage   stage
	numbers []*counter
	files   []*os.File
	fds     map[*topology.Namespace]int // in the agents' table
	helpers []int
	born    []*agent.Agent
	parent  *parent     // where CRIU has another than its agent
	twins   *agent.Crew // with its guardian's siblings, see ownParent
	births  *births     // of those that are born in time namespaces of their own

	first int32 // of the first task, in CRIU's pid namespace
	pid   int   // and in our own
}

// layer restores a layer and, while its tasks wait, those below it.
func (r *restorer) layer(ctx context.Context, i int) (err error) {
	l := &layerRun{r: r, ctx: ctx, index: i, layer: r.layers[i], fds: map[*topology.Namespace]int{}}
	log := filepath.Join(r.o.Dir, l.layer.record.Dir, "restore.log")
	if err := l.run(log); err != nil {
		if why := dumpcriu.Why(log); errors.Is(err, dumpcriu.ErrFailed) && why != "" {
			return fmt.Errorf("%w, see %s:\n%s", err, log, why)
		}
		return err
	}
	return nil
}

func (l *layerRun) run(log string) (err error) {
	wire, err := dumpcriu.NewWire()
	if err != nil {
		return err
	}
	defer wire.Close()
	logFile, err := openLog(log)
	if err != nil {
		return err
	}
	defer logFile.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	l.files = []*os.File{wire.File(), null, logFile}
	if err := l.start(); err != nil {
		return err
	}
	defer func() {
		l.births.abandon()
		err = errors.Join(err, l.leave(), l.crew.Close(), l.stage.remove(), l.parent.close(), l.closeTwins())
	}()
	if err := l.enter(); err != nil {
		return err
	}
	if l.service, err = l.startCRIU(wire); err != nil {
		return err
	}
	l.helpers = append(l.helpers, l.agent.PID(), l.service.PID())
	_, err = l.service.Do(l.ctx, rpc.CriuReqType_RESTORE, l.request(), l)
	if werr := l.service.Wait(context.WithoutCancel(l.ctx)); err == nil {
		err = werr
	}
	if err == nil && l.pid == 0 {
		err = errors.New("CRIU is done, and has not said so before")
	}
	return err
}

// startCRIU starts CRIU where the layer's agent is.
func (l *layerRun) startCRIU(wire *dumpcriu.Wire) (*dumpcriu.Service, error) {
	p := dumpcriu.Program{
		Path: l.r.o.CRIU, Wire: agent.FirstFile, Stdin: agent.FirstFile + 1, Log: agent.FirstFile + 2, More: l.inherited(),
	}
	var err error
	switch {
	case l.layer.parent != nil:
		l.parent, err = l.restoredParent()
	case l.r.o.Sibling && l.index == 0:
		l.parent, err = l.ownParent()
	default:
		return dumpcriu.Start(l.ctx, l.agent, wire, p)
	}
	if err != nil {
		return nil, err
	}
	if err := l.parent.start(l.ctx, p); err != nil {
		return nil, fmt.Errorf("start CRIU as the child of another: %w", err)
	}
	// What comes to life from now on is not to trace it, and it served its purpose.
	if err := l.agent.Protect(l.ctx); err != nil {
		return nil, err
	}
	return dumpcriu.Started(wire, l.parent.criu, l.parent.wait)
}

// restoredParent is the task that was the parent of the layer's first one.
func (l *layerRun) restoredParent() (*parent, error) {
	pid, err := l.r.find(l.layer.parent)
	return &parent{pid: pid, model: l.agent.PID(), proc: l.r.proc, pidfd: -1}, err
}

// ownParent has the calling process be the parent: by a child of it, the guardian of a
// crew of its own, which bears its siblings.
func (l *layerRun) ownParent() (*parent, error) {
	crew, err := startCrew(l.ctx, l.r.proc, nil)
	if err != nil {
		return nil, err
	}
	l.twins = crew
	root, err := status(l.r.proc, crew.Root().PID())
	return &parent{pid: root.PPID, model: l.agent.PID(), proc: l.r.proc, pidfd: -1, own: true}, err
}

// openLog opens the log of CRIU, or nothing where the folder is read-only.
func openLog(path string) (*os.File, error) {
	f, err := dumpcriu.OpenLog(path)
	if errors.Is(err, unix.EROFS) || errors.Is(err, os.ErrPermission) {
		return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	}
	return f, err
}

// start starts a crew that has descriptors of what is to be entered.
func (l *layerRun) start() error {
	for _, n := range l.wanted() {
		ns := l.r.live[n]
		if ns == nil {
			return fmt.Errorf("%s is not there, and was to be made before task %d", n.Name(), l.layer.root.PID)
		}
		if _, ok := l.fds[n]; ok {
			continue
		}
		fd, err := unix.FcntlInt(uintptr(ns.FD()), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), n.Name())
		defer f.Close()
		l.fds[n] = agent.FirstFile + len(l.files)
		l.files = append(l.files, f)
	}
	var err error
	l.crew, err = startCrew(l.ctx, l.r.proc, l.files)
	return err
}

func (l *layerRun) closeTwins() error {
	if l.twins == nil {
		return nil
	}
	return l.twins.Close()
}

func startCrew(ctx context.Context, proc *nsfs.Proc, files []*os.File) (*agent.Crew, error) {
	fd, err := unix.FcntlInt(uintptr(proc.FD()), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	dir := os.NewFile(uintptr(fd), "/proc")
	defer dir.Close()
	return agent.Start(ctx, agent.Options{Proc: dir, Name: "renest: criu restore", Files: files})
}

// wanted are the namespaces that have to be opened: what CRIU is to be in or is
// handed, and every pid namespace on the way.
func (l *layerRun) wanted() []*topology.Namespace {
	list := append([]*topology.Namespace{}, l.layer.enter...)
	for n := l.layer.space(); n != nil && !n.External; n = n.Parent {
		list = append(list, n)
	}
	if l.layer.mounts != nil {
		list = append(list, l.layer.mounts)
	}
	list = append(list, l.apart()...)
	return append(list, l.external()...)
}

// external are the net namespaces that CRIU is handed.
func (l *layerRun) external() []*topology.Namespace {
	index := l.r.o.Graph.Index()
	var list []*topology.Namespace
	for _, e := range l.layer.record.External {
		if typ, ino, err := topology.ParseName(e.Namespace); err == nil {
			if n := index.Lookup(typ, ino); n != nil {
				list = append(list, n)
			}
		}
	}
	return list
}

func (l *layerRun) inherited() []int {
	var list []int
	for _, n := range l.external() {
		list = append(list, l.fds[n])
	}
	return list
}

func (l *layerRun) request() *rpc.CriuOpts {
	o := &rpc.CriuOpts{
		ImagesDirFd:       new(int32(-1)),
		ImagesDir:         new(l.stage.images()),
		ConfigFile:        new(l.stage.config()),
		LogLevel:          new(int32(4)),
		LogToStderr:       new(true),
		ManageCgroupsMode: rpc.CriuCgMode_IGNORE.Enum(),
		TcpEstablished:    new(true),
		FileLocks:         new(true),
		RstSibling:        new(l.parent != nil),
		Unprivileged:      new(!l.layer.in(topology.User).External),
	}
	if l.stage.mounts {
		o.Root = new(l.stage.root())
	}
	for i, e := range l.layer.record.External {
		o.InheritFd = append(o.InheritFd, &rpc.InheritFd{Key: new(e.Label), Fd: new(int32(dumpcriu.FirstInherited + i))})
	}
	return o
}

// PreRestore is called before CRIU forks the first task.
func (l *layerRun) PreRestore() error {
	for _, c := range l.numbers {
		if err := c.set(l.ctx); err != nil {
			l.r.note("the pid of task %d in %s may differ: %v", l.layer.root.PID, c.space.Name(), err)
		}
	}
	return nil
}

// SetupNamespaces is called when there is the first task.
func (l *layerRun) SetupNamespaces(pid int32) error {
	l.first = pid
	return nil
}

// PostSetupNamespaces is called when that one has its namespaces, and no child.
func (l *layerRun) PostSetupNamespaces() error { return l.attend() }

// PostRestore is called when all tasks of the layer exist, before they run.
func (l *layerRun) PostRestore(pid int32) error {
	if err := errors.Join(l.births.stop(), l.meet(int(pid))); err != nil {
		return fmt.Errorf("find the restored task: %w", err)
	}
	l.r.done = append(l.r.done, l)
	for _, task := range append(l.r.others(l), l.pid) {
		if err := l.r.standing.Guard(l.ctx, task); err != nil {
			return err
		}
	}
	if err := errors.Join(l.readmit(), l.part(), l.hush()); err != nil {
		return err
	}
	if err := l.r.openRestored(l.layer, l.pid); err != nil {
		return err
	}
	if next := l.index + 1; next < len(l.r.layers) {
		return l.r.layer(l.ctx, next)
	}
	return l.r.verify(l.ctx)
}

// meet finds the first task, which CRIU knows by its number in its own pid namespace.
func (l *layerRun) meet(pid int) error {
	if l.pid != 0 {
		return nil
	}
	parents := []int{l.service.PID(), l.agent.PID()}
	if l.parent != nil {
		parents = append(parents, l.parent.pid)
		if l.parent.own {
			parents = append(parents, os.Getpid())
		}
	}
	for _, parent := range parents {
		for _, child := range children(parent) {
			s, err := status(l.r.proc, child)
			if err != nil {
				continue
			}
			// Its number is one level up, unless it is in CRIU's own.
			at := len(s.NSPID) - 1
			if l.layer.init() {
				at--
			}
			if at < 0 || s.NSPID[at] != pid {
				continue
			}
			l.pid = child
			return l.compareNumbers(s.NSPID)
		}
	}
	return fmt.Errorf("CRIU has no child %d", pid)
}

// compareNumbers notes which numbers of the first task are not what they were, down
// from the outermost restored level. The one that its parent knows has to be.
func (l *layerRun) compareNumbers(now []int) error {
	was := l.layer.root.NSPID
	for i := 2; i <= len(was) && i <= len(now); i++ {
		a, b := was[len(was)-i], now[len(now)-i]
		switch {
		case a == b:
		case i == 2 && l.layer.parent != nil:
			return fmt.Errorf("task %d has the pid %d for its parent, who knows it as %d: another process had that, or was quicker: try again", l.layer.root.PID, b, a)
		case len(now)-i > 0:
			l.r.note("task %d has the pid %d where it had %d, %d levels up", l.layer.root.PID, b, a, i-1)
		}
	}
	return nil
}

func status(proc *nsfs.Proc, pid int) (nsfs.Status, error) {
	var s nsfs.Status
	t, err := proc.Task(pid)
	if err != nil {
		return s, err
	}
	defer t.Close()
	return s, t.Status(&s)
}
