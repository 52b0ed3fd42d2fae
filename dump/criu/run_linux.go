package criu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	gocriu "github.com/checkpoint-restore/go-criu/v7"
	"github.com/checkpoint-restore/go-criu/v7/rpc"
	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("CRIU: %w: install it, or say where it is (--criu PATH)", err)
	}
	return filepath.Abs(path)
}

// run dumps the layers. Each CRIU stops where its tasks are frozen and nothing of them
// is dumped yet, and once more where all of them is dumped and they are still frozen;
// only when every CRIU has come there the tree is let go.
func (d *dumper) run(ctx context.Context) error {
	config, err := d.writeConfig()
	if err != nil {
		return err
	}
	if config != "" {
		defer os.Remove(config)
	}
	// The outermost first, so that whoever waits for another layer to answer is
	// frozen before that is.
	var runs []*layerRun
	err = d.freezeAll(ctx, config, &runs)
	// The innermost first.
	for i := len(runs) - 1; i >= 0 && err == nil; i-- {
		close(runs[i].proceed)
		err = runs[i].await(runs[i].dumped)
	}
	if err == nil {
		err = d.settle(ctx)
	}
	// The outermost first: that its CRIU is told is the moment from which on there is
	// no way back. It kills its init, and the kernel kills all below that.
	for _, r := range runs {
		r.verdict <- err
	}
	for i, r := range runs {
		// To the others their tasks vanish, which is no matter.
		if rerr := r.end(); rerr != nil && err == nil && i == 0 {
			err = rerr
		}
	}
	return err
}

func (d *dumper) freezeAll(ctx context.Context, config string, runs *[]*layerRun) error {
	for i := range d.layers {
		if dir := d.layerDir(i); dir != d.o.Dir {
			if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
				return err
			}
		}
		r := &layerRun{
			d: d, index: i, config: config,
			frozen: make(chan struct{}), proceed: make(chan struct{}), dumped: make(chan struct{}),
			verdict: make(chan error, 1), done: make(chan struct{}),
		}
		*runs = append(*runs, r)
		go r.run(ctx)
		if err := r.await(r.frozen); err != nil {
			return err
		}
	}
	return nil
}

// writeConfig writes the options that the caller has for CRIU.
func (d *dumper) writeConfig() (string, error) {
	if len(d.o.Config) == 0 {
		return "", nil
	}
	path := filepath.Join(d.o.Dir, "criu.conf")
	return path, os.WriteFile(path, []byte(strings.Join(d.o.Config, "\n")+"\n"), 0o600)
}

// layerRun is one CRIU at work.
type layerRun struct {
	gocriu.NoNotify

	d      *dumper
	index  int
	config string

	frozen, proceed, dumped chan struct{}
	verdict                 chan error
	done                    chan struct{}
	err                     error // once done is closed
	isFrozen                bool
	hidden                  *disguise
}

// await waits until CRIU came to a point, or to its end.
func (r *layerRun) await(point chan struct{}) error {
	select {
	case <-point:
		return nil
	case <-r.done:
		if r.err == nil {
			return errors.New("CRIU ended before its time")
		}
		return r.err
	}
}

// end waits for CRIU's end.
func (r *layerRun) end() error {
	select {
	case <-r.proceed:
	default:
		close(r.proceed)
	}
	<-r.done
	return r.err
}

// NetworkLock is called with the tasks frozen, where they have a net namespace of
// their own.
func (r *layerRun) NetworkLock() error {
	if err := r.freeze(); err != nil {
		return err
	}
	<-r.proceed
	select {
	case err := <-r.verdict: // something else has failed
		r.verdict <- err
		return err
	default:
		return nil
	}
}

func (r *layerRun) freeze() error {
	if r.isFrozen {
		return nil
	}
	r.isFrozen = true
	if err := r.hidden.check(); err != nil {
		return err
	}
	close(r.frozen)
	return nil
}

// PostDump is called with all written and the tasks still frozen.
func (r *layerRun) PostDump() error {
	if err := r.freeze(); err != nil {
		return err
	}
	close(r.dumped)
	return <-r.verdict
}

func (r *layerRun) run(ctx context.Context) {
	defer close(r.done)
	log := filepath.Join(r.d.layerDir(r.index), "dump.log")
	if err := r.dump(ctx, log); err != nil {
		r.err = err
		if why := Why(log); errors.Is(err, ErrFailed) && why != "" {
			r.err = fmt.Errorf("%w, see %s:\n%s", err, log, why)
		}
	}
}

func (r *layerRun) dump(ctx context.Context, log string) (err error) {
	l := r.d.layers[r.index]
	wire, err := NewWire()
	if err != nil {
		return err
	}
	defer wire.Close()
	logFile, err := OpenLog(log)
	if err != nil {
		return err
	}
	defer logFile.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	files := []*os.File{wire.File(), null, logFile}
	for _, n := range l.Join {
		f, err := openMember(r.d.proc, l.Root.PID, n)
		if err != nil {
			return err
		}
		defer f.Close()
		files = append(files, f)
	}
	crew, err := startCrew(ctx, r.d.proc, files)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, crew.Close()) }()
	if err := r.prepare(ctx, crew.Root()); err != nil {
		return err
	}
	s, err := Start(ctx, crew.Root(), wire, Program{
		Path: r.d.o.CRIU, Wire: agent.FirstFile, Stdin: agent.FirstFile + 1, Log: agent.FirstFile + 2,
	})
	if err != nil {
		return err
	}
	_, err = s.Do(ctx, rpc.CriuReqType_DUMP, r.d.request(r.index, r.config), r)
	// Its end is waited for in any case: it may still be about to resume the tasks.
	if werr := s.Wait(context.WithoutCancel(ctx)); err == nil {
		err = werr
	}
	return err
}

// prepare leads the agent to where CRIU is to run.
func (r *layerRun) prepare(ctx context.Context, a *agent.Agent) error {
	l := r.d.layers[r.index]
	var p agent.Program
	for i, n := range l.Join {
		p.Call("enter "+n.Name(), unix.SYS_SETNS, agent.Int(agent.FirstFile+3+i), agent.Int(0))
	}
	if err := a.Run(ctx, &p); err != nil {
		return err
	}
	var err error
	r.hidden, err = hide(ctx, a, l, r.d.layers)
	return err
}

// openMember opens a namespace that a process is a member of, and makes sure that it
// is n.
func openMember(proc *nsfs.Proc, pid int, n *topology.Namespace) (*os.File, error) {
	t, err := proc.Task(pid)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	ns, err := t.Open(nsfs.Link(topology.LinkOf(n.Type)))
	if err != nil {
		return nil, err
	}
	if ino, err := ns.Ino(); err != nil || ino != n.Ino {
		_ = ns.Close()
		return nil, fmt.Errorf("pid %d has left %s: try again", pid, n.Name())
	}
	return os.NewFile(uintptr(ns.FD()), n.Name()), nil
}

func startCrew(ctx context.Context, proc *nsfs.Proc, files []*os.File) (*agent.Crew, error) {
	fd, err := unix.FcntlInt(uintptr(proc.FD()), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	dir := os.NewFile(uintptr(fd), "/proc")
	defer dir.Close()
	return agent.Start(ctx, agent.Options{Proc: dir, Name: "renest: criu dump", Files: files})
}
