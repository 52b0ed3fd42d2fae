package restore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// Options say how to execute a plan.
type Options struct {
	// Name is what the tree is to be found by; empty for a name made up. Execute
	// refuses one in use.
	Name string
	// Stdio are the files that [Standing.Command] gives to commands: 0, 1, 2.
	// Without them no command can be run.
	Stdio []*os.File
	// Progress is told how many of the plan's steps are done, and bind mounts
	// made, of how many. Optional.
	Progress func(done, total int)
	// MakeCgroups makes the cgroups at which cgroup namespaces are to be rooted,
	// where this host does not have them. They go with the tree.
	MakeCgroups bool
	// Dump says how the result is looked at.
	Dump dump.Options
}

// Standing is a restored tree whose maker is still responsible for it: Close
// takes it down, and so does the maker's end, unless Commit came before.
type Standing struct {
	// Live is what is there, as the dump code sees it.
	Live *topology.Graph
	// Bindings say what stands for each namespace of the image, in its order.
	Bindings []Binding
	// Notes say what is not as it was.
	Notes []string
	// Made and Verified are how long the two parts took.
	Made, Verified time.Duration

	adopted []adopted

	plan    *Plan
	o       Options
	targets targets
	claim   *claim
	crew    *agent.Crew
	e       *executor
	proc    *nsfs.Proc
	pins    *PinSet
}

// Execute carries plan out and verifies the result: what the dump code finds is
// isomorphic to the plan's graph. On an error, and where ctx ends before it is
// done, nothing is left of it. Call [Preflight] first for reasons why it would
// fail.
//
// That it is under way is recorded in [StateDir] before anything else is done. What
// restores left that were killed with all that takes care of them, it removes.
func Execute(ctx context.Context, plan *Plan, o Options) (*Standing, error) {
	if o.Name != "" {
		if err := CheckName(o.Name); err != nil {
			return nil, err
		}
	}
	proc, err := nsfs.OpenProc()
	if err != nil {
		return nil, err
	}
	s := &Standing{plan: plan, o: o, proc: proc}
	if err := cleanLeftovers(); err != nil {
		s.Notes = append(s.Notes, err.Error())
	}
	if err := s.make(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// announce claims the tree's name for the crew that is about to be, which gives it
// up when all is undone.
func (s *Standing) announce(crew *agent.Crew) error {
	pins, err := pinIntent(s.plan)
	if err != nil {
		return err
	}
	var cgroups []string
	if s.o.MakeCgroups {
		cgroups = cgroupIntent(s.plan)
	}
	if s.claim, err = newClaim(s.o.Name, crew.Family(), pins, cgroups); err != nil {
		return err
	}
	if err := free(s.claim.Name); err != nil {
		return err
	}
	for _, undo := range []struct {
		path  string
		flags int
	}{{StateDir(), unix.AT_REMOVEDIR}, {claimPath(s.claim.Name), 0}} {
		if err := crew.UndoLast(unix.SYS_UNLINKAT, agent.Int(unix.AT_FDCWD), agent.String(undo.path), agent.Int(undo.flags)); err != nil {
			return err
		}
	}
	return nil
}

// free returns an error where a tree has that name and is not dead.
func free(name string) error {
	t, err := Find(name)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if alive, _ := t.Alive(); alive == 0 {
		return removeTree(name)
	}
	return fmt.Errorf("the name %s is in use: choose another, or take that tree down (renest rm %s)", name, name)
}

func (s *Standing) make(ctx context.Context) error {
	start := time.Now()
	procDir, err := duplicate(s.proc.FD(), "proc")
	if err != nil {
		return err
	}
	defer procDir.Close()
	label := "renest: restored tree"
	if s.o.Name != "" {
		label += " " + s.o.Name
	}
	if s.targets, err = openTargets(ctx, s.plan); err != nil {
		return err
	}
	defer s.targets.close()
	numbers, err := numberFrom(s.plan)
	if err != nil {
		return err
	}
	s.crew, err = agent.Start(ctx, agent.Options{Proc: procDir, Name: label, Files: slices.Concat(s.o.Stdio, s.targets.files), Before: s.announce})
	if err != nil {
		return err
	}
	s.e = newExecutor(s.plan, s.crew)
	s.e.numbers = numbers
	s.e.commands = len(s.o.Stdio) == 3
	s.e.cgroup.make = s.o.MakeCgroups
	if err := s.e.prepare(ctx, s.targets, agent.FirstFile+len(s.o.Stdio)); err != nil {
		return err
	}
	if err := s.e.run(ctx, s.o.Progress); err != nil {
		return err
	}
	s.Made = time.Since(start)
	s.Notes = append(append(s.Notes, s.plan.Notes...), s.e.notes...)
	start = time.Now()
	if err := s.verify(ctx); err != nil {
		return err
	}
	s.Verified = time.Since(start)
	return s.pin(ctx)
}

// duplicate returns a descriptor of its own of the file that fd is one of.
func duplicate(fd int, name string) (*os.File, error) {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("duplicate the descriptor of %s: %w", name, err)
	}
	return os.NewFile(uintptr(n), name), nil
}

// PID returns the tree's keeper, of which all its processes are descendants.
func (s *Standing) PID() int { return s.crew.Guardian().PID() }

// Close takes down a tree that was not committed, and sees it gone. Of one that
// was it gives back what the maker held.
func (s *Standing) Close() error {
	var err error
	if s.crew != nil {
		err = s.crew.Close()
		if s.claim != nil {
			err = errors.Join(err, s.claim.abandon())
			s.claim = nil
		}
		s.crew = nil
	}
	if s.claim != nil { // if it is still there, no guardian came so far
		err = errors.Join(err, s.claim.release())
		s.claim = nil
	}
	if s.proc != nil {
		err = errors.Join(err, s.proc.Close())
		s.proc = nil
	}
	return err
}

// Command runs a program in the innermost namespaces of the tree, see
// [Plan.Innermost], and waits for its end. Signals are passed on to it.
func (s *Standing) Command(ctx context.Context, path string, args []string, signals <-chan os.Signal) (syscall.WaitStatus, error) {
	if s.e.inner == nil {
		return 0, errors.New("run a command: the tree was made without files for it")
	}
	return s.e.inner.Command(ctx, agent.Command{
		Path: path, Args: args, Env: os.Environ(), Signals: signals,
		Files: [3]int{agent.FirstFile, agent.FirstFile + 1, agent.FirstFile + 2},
	})
}

// Commit lets the tree stand without its maker, and records it. The record
// comes into being in one piece, made by the process that keeps the tree: there
// is no moment at which a killed maker leaves one without the other. Either there
// is a tree and no error, or an error and the caller is still to call Close: a ctx
// that ends is too late once the keeper has begun.
func (s *Standing) Commit(ctx context.Context) (*Tree, error) {
	t, err := s.record()
	if err != nil {
		return nil, fmt.Errorf("record the tree: %w", err)
	}
	if err := checkStateDir(StateDir()); err != nil {
		return nil, err
	}
	text, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(StateDir(), t.Name)
	what := "record the tree as " + path
	var p agent.Program
	fd := p.Call(what, unix.SYS_OPENAT, agent.Int(unix.AT_FDCWD), agent.String(StateDir()),
		agent.Int(unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC), agent.Int(0o600))
	p.Call(what, unix.SYS_WRITE, fd.Ret(), agent.Bytes(text), agent.Int(len(text)))
	p.Call(what, unix.SYS_FSYNC, fd.Ret())
	// linkat wants a path: descriptor 0, which the keeper has no other use for.
	p.Call(what, unix.SYS_DUP3, fd.Ret(), agent.Int(0), agent.Int(0))
	p.Call(what, unix.SYS_LINKAT, agent.Int(agent.ProcFD), agent.String("self/fd/0"),
		agent.Int(unix.AT_FDCWD), agent.String(path), agent.Int(unix.AT_SYMLINK_FOLLOW))
	p.Call("end the claim", unix.SYS_UNLINKAT, agent.Int(unix.AT_FDCWD), agent.String(claimPath(t.Name)), agent.Int(0)).MayFail()
	var keep []int
	for _, n := range s.plan.Keep {
		keep = append(keep, s.e.fds[n].Value())
	}
	for _, n := range s.plan.Sockets {
		keep = append(keep, s.e.sockets[n].Value())
	}
	if err := s.crew.Commit(ctx, &p, keep); err != nil {
		return nil, errors.Join(err, unrecord(t))
	}
	return t, nil
}

// unrecord takes down a tree whose keeper was killed when it had just recorded it: its
// claim is no more.
func unrecord(t *Tree) error {
	there, err := Find(t.Name)
	if errors.Is(err, ErrNotFound) || err == nil && there.Keeper != t.Keeper {
		return nil
	}
	if err != nil {
		return err
	}
	return removeTree(t.Name)
}

// adopted is a process that was put into the tree.
type adopted struct {
	process  Process
	bindings []Binding
}

// Guard has a process that somebody puts into the tree end with it, whoever is killed,
// unless the tree is committed: it is to be called before the process runs.
func (s *Standing) Guard(ctx context.Context, pid int) error {
	was, err := process(pid)
	if err != nil {
		return err
	}
	var p, undo agent.Program
	fd := p.Call(fmt.Sprintf("guard pid %d", pid), unix.SYS_PIDFD_OPEN, agent.Int(pid), agent.Int(0))
	undo.Call("end it", unix.SYS_PIDFD_SEND_SIGNAL, fd.Ret(), agent.Int(unix.SIGKILL), agent.Int(0), agent.Int(0))
	if err := s.crew.Do(ctx, &p, &undo); err != nil {
		return err
	}
	if !was.alive() {
		return fmt.Errorf("guard pid %d: %w", pid, nsfs.ErrGone)
	}
	return nil
}

// Adopt makes a process that somebody has put into the tree part of its record: it is
// removed with the tree, and entered as its innermost. The bindings are of namespaces
// that it is in and that the plan did not make.
func (s *Standing) Adopt(pid int, bindings []Binding) error {
	p, err := process(pid)
	if err != nil {
		return err
	}
	s.adopted = append(s.adopted, adopted{p, bindings})
	return nil
}

// record describes the tree.
func (s *Standing) record() (*Tree, error) {
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	t := &Tree{
		Name:       s.claim.Name,
		Created:    time.Now().UTC().Truncate(time.Second),
		BootID:     boot,
		From:       s.plan.Graph.Header.Hostname,
		Namespaces: s.Bindings,
		Pins:       s.pins,
		Cgroups:    s.e.cgroup.made,
		Verified:   true,
	}
	if t.Keeper, err = process(s.crew.Guardian().PID()); err != nil {
		return nil, err
	}
	if t.Holders, err = s.holders(); err != nil {
		return nil, err
	}
	for i, h := range s.plan.Holders {
		if h.Agent == s.plan.Innermost {
			t.Innermost = t.Holders[i].PID
		}
	}
	for _, a := range s.adopted {
		t.Holders = append(t.Holders, a.process)
		t.Innermost = a.process.PID
		t.Namespaces = append(t.Namespaces, a.bindings...)
	}
	return t, nil
}

// holders returns the processes of the plan's holders, which are asked for on all
// cores: there may be thousands.
func (s *Standing) holders() ([]Process, error) {
	list := make([]Process, len(s.plan.Holders))
	errs := make([]error, runtime.NumCPU())
	var asking sync.WaitGroup
	for k := range errs {
		asking.Go(func() {
			for i := k; i < len(list) && errs[k] == nil; i += len(errs) {
				list[i], errs[k] = process(s.e.agents[s.plan.Holders[i].Agent].PID())
			}
		})
	}
	asking.Wait()
	return list, errors.Join(errs...)
}

func process(pid int) (Process, error) {
	start, err := startTime(pid)
	if err != nil {
		return Process{}, fmt.Errorf("process %d of the tree: %w", pid, err)
	}
	return Process{PID: pid, Start: start}, nil
}
