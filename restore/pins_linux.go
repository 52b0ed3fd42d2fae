package restore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// pin makes the bind mounts of the plan. The guardian does it, and takes with
// every folder, file and mount the order to remove it again should its maker die.
//
// Paths come from an image: below the folder that the caller has chosen, every
// name is opened by itself, as a folder and no symbolic link, and nothing is
// looked up twice.
func (s *Standing) pin(ctx context.Context) error {
	if len(s.plan.Pins) == 0 {
		return nil
	}
	w := &pinner{s: s, guardian: s.crew.Guardian(), folders: map[string]int{}, made: &PinSet{Mnt: s.claim.Pins.Mnt}}
	bindings := map[string]Binding{}
	for _, b := range s.Bindings {
		bindings[b.Image] = b
	}
	steps := len(s.plan.Steps) + len(s.plan.Pins)
	for i, pin := range s.plan.Pins {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		b := bindings[pin.NS.Name()]
		if err := w.pin(ctx, pin, b); err != nil {
			return fmt.Errorf("pin %s to %s: %w", pin.NS.Name(), pin.Path, explainPin(pin.NS, err))
		}
		w.made.Mounts = append(w.made.Mounts, PinMount{Image: b.Image, Live: b.Live, Path: pin.Path})
		if s.o.Progress != nil {
			s.o.Progress(len(s.plan.Steps)+i+1, steps)
		}
	}
	s.pins = w.made
	return nil
}

// pinIntent returns what is about to be made, nil for nothing: the claim has it, for
// the case that the guardian is killed too.
func pinIntent(plan *Plan) (*PinSet, error) {
	if len(plan.Pins) == 0 {
		return nil, nil
	}
	mnt, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return nil, err
	}
	intent, seen := &PinSet{Mnt: mnt}, map[string]bool{}
	for _, pin := range plan.Pins {
		intent.Mounts = append(intent.Mounts, PinMount{Image: pin.NS.Name(), Path: pin.Path})
		missing, err := lookPin(pin)
		if err != nil {
			return nil, fmt.Errorf("pin %s: %w", pin.NS.Name(), err)
		}
		for _, dir := range missing {
			if !seen[dir] {
				seen[dir] = true
				intent.Folders = append(intent.Folders, dir)
			}
		}
	}
	return intent, nil
}

// pinner makes bind mounts.
type pinner struct {
	s        *Standing
	guardian *agent.Agent
	// folders are descriptors of the agents' table, by path.
	folders map[string]int
	made    *PinSet
}

// pin makes one bind mount of the namespace that b says is there.
func (w *pinner) pin(ctx context.Context, pin PlannedPin, b Binding) error {
	if b.Path == "" {
		return errors.New("nothing shows this namespace: it cannot be opened")
	}
	dir, err := w.folder(ctx, pin.Dir, path.Dir(pin.Path))
	if err != nil {
		return err
	}
	name := path.Base(pin.Path)
	var file, unlink agent.Program
	file.Call("make a file", unix.SYS_MKNODAT, agent.Int(dir), agent.String(name), agent.Int(unix.S_IFREG|0o444), agent.Int(0))
	unlink.Call("unlink", unix.SYS_UNLINKAT, agent.Int(dir), agent.String(name), agent.Int(0))
	if err := w.s.crew.Do(ctx, &file, &unlink); err != nil {
		return err
	}
	var mount, umount, tidy agent.Program
	ns := mount.Call("open "+b.Path, unix.SYS_OPENAT, agent.Int(agent.ProcFD), agent.String(strings.TrimPrefix(b.Path, "/proc/")), agent.Int(unix.O_RDONLY|unix.O_CLOEXEC))
	tree := mount.Call("open_tree", unix.SYS_OPEN_TREE, ns.Ret(), agent.String(""), agent.Int(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH))
	mount.Call("move_mount", unix.SYS_MOVE_MOUNT, tree.Ret(), agent.String(""), agent.Int(dir), agent.String(name), agent.Int(unix.MOVE_MOUNT_F_EMPTY_PATH))
	// umount2 takes but a path. The guardian has no other use for a directory of
	// its own.
	umount.Call("fchdir", unix.SYS_FCHDIR, agent.Int(dir))
	umount.Call("umount", unix.SYS_UMOUNT2, agent.String(name), agent.Int(unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW))
	if err := w.s.crew.Do(ctx, &mount, &umount); err != nil {
		return err
	}
	tidy.Call("close", unix.SYS_CLOSE, agent.Int(ns.Value()))
	tidy.Call("close", unix.SYS_CLOSE, agent.Int(tree.Value()))
	if err := w.guardian.Run(ctx, &tidy); err != nil {
		return err
	}
	return shows(pin.Path, b.Live)
}

// shows checks that a path leads to a namespace.
func shows(at, live string) error {
	_, ino, err := topology.ParseName(live)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(at, &st); err != nil {
		return err
	}
	if st.Ino != ino {
		return fmt.Errorf("it shows another file than %s", live)
	}
	return nil
}

// folder returns a descriptor of the folder at, which is base or below. Below, what
// is missing is made, and no name is to be trusted.
func (w *pinner) folder(ctx context.Context, base, at string) (int, error) {
	if fd, ok := w.folders[at]; ok {
		return fd, nil
	}
	var fd int
	if at == base {
		var p agent.Program
		c := p.Call("open "+at, unix.SYS_OPENAT, agent.Int(unix.AT_FDCWD), agent.String(at), agent.Int(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC))
		if err := w.guardian.Run(ctx, &p); err != nil {
			return 0, err
		}
		fd = c.Value()
	} else {
		up, err := w.folder(ctx, base, path.Dir(at))
		if err != nil {
			return 0, err
		}
		if fd, err = w.enter(ctx, up, at); errors.Is(err, unix.ENOENT) {
			if err = w.makeFolder(ctx, up, at); err == nil {
				fd, err = w.enter(ctx, up, at)
			}
		}
		if err != nil {
			return 0, err
		}
	}
	w.folders[at] = fd
	return fd, nil
}

// enter opens a folder in the folder up.
func (w *pinner) enter(ctx context.Context, up int, at string) (int, error) {
	var p agent.Program
	c := p.Call("open "+at, unix.SYS_OPENAT2, agent.Int(up), agent.String(path.Base(at)), agent.Bytes(howBytes(&inFolder)), agent.Int(unix.SizeofOpenHow))
	err := w.guardian.Run(ctx, &p)
	return c.Value(), err
}

func (w *pinner) makeFolder(ctx context.Context, up int, at string) error {
	var p, undo agent.Program
	p.Call("make folder "+at, unix.SYS_MKDIRAT, agent.Int(up), agent.String(path.Base(at)), agent.Int(0o755))
	undo.Call("rmdir", unix.SYS_UNLINKAT, agent.Int(up), agent.String(path.Base(at)), agent.Int(unix.AT_REMOVEDIR))
	err := w.s.crew.Do(ctx, &p, &undo)
	if errors.Is(err, unix.EEXIST) { // somebody was quicker
		return nil
	}
	if err == nil {
		w.made.Folders = append(w.made.Folders, at)
	}
	return err
}

// explainPin adds the remedy to an error of the kernel, where one is known.
func explainPin(n *topology.Namespace, err error) error {
	switch {
	case errors.Is(err, unix.EEXIST):
		return advise(err, "something is there already: move it away, or pin to another folder (--pin)")
	case errors.Is(err, unix.ELOOP):
		return advise(err, "a symbolic link is in its way")
	case errors.Is(err, unix.EINVAL) && n.Type == topology.Mnt:
		// mnt_ns_loop and IS_MNT_SHARED in do_move_mount (fs/namespace.c).
		return advise(err, "a mount namespace is bound only where mounts are not passed on to others: pin to a folder on a private mount (mount --bind DIR DIR && mount --make-private DIR)")
	}
	return explain(err)
}
