package restore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
)

// Command is a program to run in namespaces that are there.
type Command struct {
	Path    string // of the executable, as it is found in there
	Args    []string
	Stdio   []*os.File       // its 0, 1 and 2
	Signals <-chan os.Signal // passed on to it; optional
}

// Enter runs a command in the given namespaces, at most one of each type, and for
// the rest in the caller's own; it returns how the command ended. Namespaces of a
// type that the kernel does not have may be among several.
//
// They are joined in the only order that works, which depends on who is where:
// what the caller may join as it is first, then the user namespace, then what
// that gives the right to (setns(2)). Where no user namespace is given and one is
// needed, it is the owner of what is. In a user namespace the command is its
// root, where it has one.
func Enter(ctx context.Context, refs []dump.Reference, c Command) (syscall.WaitStatus, error) {
	in, err := openAll(ctx, refs)
	defer func() {
		for _, ns := range in {
			_ = ns.Close()
		}
	}()
	if err != nil {
		return 0, err
	}
	status, refused, err := enter(ctx, in, c)
	if len(refused) > 0 {
		owner, oerr := refused[0].Owner()
		if oerr != nil {
			return 0, fmt.Errorf("enter %s: it takes CAP_SYS_ADMIN in the user namespace that owns it, and in one's own: be root", refused[0])
		}
		in = append(in, owner)
		status, refused, err = enter(ctx, in, c)
	}
	if len(refused) > 0 {
		return 0, fmt.Errorf("enter %s: it takes CAP_SYS_ADMIN in the user namespace that owns it, and in one's own: be root", refused[0])
	}
	return status, err
}

// openAll opens namespaces, but for the caller's own.
func openAll(ctx context.Context, refs []dump.Reference) ([]*nsfs.NS, error) {
	host, err := dump.OpenHost()
	if err != nil {
		return nil, err
	}
	defer host.Close()
	proc, err := nsfs.OpenProc()
	if err != nil {
		return nil, err
	}
	defer proc.Close()
	self, err := proc.Self()
	if err != nil {
		return nil, err
	}
	defer self.Close()
	own := map[nsfs.Ref]bool{}
	for l := range nsfs.PIDForChildren {
		if r, err := self.Ref(l); err == nil {
			own[r] = true
		}
	}
	var in []*nsfs.NS
	for _, r := range refs {
		ns, err := host.Open(ctx, r)
		if errors.Is(err, os.ErrNotExist) && len(refs) > 1 {
			continue
		}
		if err != nil {
			return in, err
		}
		if ref, err := ns.Ref(); err == nil && own[ref] {
			_ = ns.Close()
			continue
		}
		in = append(in, ns)
	}
	return in, nil
}

// enter is Enter with what it was refused, unless a user namespace was among it.
func enter(ctx context.Context, in []*nsfs.NS, c Command) (status syscall.WaitStatus, refused []*nsfs.NS, err error) {
	crew, err := startFor(ctx, in, c.Stdio)
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, crew.Close()) }()
	a := crew.Root()
	if err := a.Protect(ctx); err != nil {
		return 0, nil, err
	}
	if refused, err = joinAll(ctx, a, in); err != nil || len(refused) > 0 {
		return 0, refused, err
	}
	status, err = a.Command(ctx, agent.Command{
		Path: c.Path, Args: c.Args, Env: os.Environ(), Signals: c.Signals,
		Files: [3]int{agent.FirstFile, agent.FirstFile + 1, agent.FirstFile + 2},
	})
	return status, nil, err
}

// startFor starts a crew with the namespaces behind the standard files.
func startFor(ctx context.Context, in []*nsfs.NS, stdio []*os.File) (*agent.Crew, error) {
	if len(stdio) != 3 {
		return nil, errors.New("enter: a command has three standard files")
	}
	proc, err := nsfs.OpenProc()
	if err != nil {
		return nil, err
	}
	defer proc.Close()
	files := append([]*os.File{}, stdio...)
	for _, ns := range in {
		f, err := duplicate(ns.FD(), ns.String())
		if err != nil {
			return nil, fmt.Errorf("enter: %w", err)
		}
		defer f.Close()
		files = append(files, f)
	}
	dir, err := duplicate(proc.FD(), "proc")
	if err != nil {
		return nil, fmt.Errorf("enter: %w", err)
	}
	defer dir.Close()
	return agent.Start(ctx, agent.Options{Proc: dir, Name: "renest: enter", Files: files})
}

// joinAll has a enter all of in, and returns those that it may not.
func joinAll(ctx context.Context, a *agent.Agent, in []*nsfs.NS) (refused []*nsfs.NS, err error) {
	var user *nsfs.NS
	pending := map[*nsfs.NS]int{}
	for i, ns := range in {
		t, err := ns.Type()
		if err != nil {
			return nil, err
		}
		if t == nsfs.User {
			user = ns
		}
		pending[ns] = agent.FirstFile + 3 + i
	}
	for range 2 {
		if err := join(ctx, a, in, user, pending); err != nil {
			return nil, err
		}
		if user == nil || len(pending) == 0 {
			break
		}
		if err := joinUser(ctx, a, pending[user]); err != nil {
			return nil, fmt.Errorf("enter %s: %w", user, err)
		}
		delete(pending, user)
		user = nil
	}
	for _, ns := range in {
		if _, ok := pending[ns]; ok {
			refused = append(refused, ns)
		}
	}
	return refused, nil
}

// join has a enter whatever it may of pending, the user namespace apart.
func join(ctx context.Context, a *agent.Agent, in []*nsfs.NS, user *nsfs.NS, pending map[*nsfs.NS]int) error {
	var p agent.Program
	calls := map[*nsfs.NS]*agent.Call{}
	for _, ns := range in {
		if fd, ok := pending[ns]; ok && ns != user {
			calls[ns] = p.Call("enter "+ns.String(), unix.SYS_SETNS, agent.Int(fd), agent.Int(0)).MayFail()
		}
	}
	if err := a.Run(ctx, &p); err != nil {
		return err
	}
	for ns, c := range calls {
		switch err := c.Err(); {
		case err == nil:
			delete(pending, ns)
		case !errors.Is(err, unix.EPERM):
			return err
		}
	}
	return nil
}

// joinUser has a enter a user namespace and become its root. One that is a's own
// is no error: setns(2) refuses it.
func joinUser(ctx context.Context, a *agent.Agent, fd int) error {
	var p agent.Program
	enter := p.Call("setns", unix.SYS_SETNS, agent.Int(fd), agent.Int(unix.CLONE_NEWUSER)).MayFail()
	if err := a.Run(ctx, &p); err != nil {
		return err
	}
	if err := enter.Err(); err != nil {
		if errors.Is(err, unix.EINVAL) {
			return nil
		}
		return err
	}
	var root agent.Program
	root.Call("setgroups", unix.SYS_SETGROUPS, agent.Int(0), agent.Int(0)).MayFail()
	root.Call("setresgid", unix.SYS_SETRESGID, agent.Int(0), agent.Int(0), agent.Int(0)).MayFail()
	root.Call("setresuid", unix.SYS_SETRESUID, agent.Int(0), agent.Int(0), agent.Int(0)).MayFail()
	// And not to be exposed: whoever else is root there could trace it.
	return a.Run(ctx, &root)
}
