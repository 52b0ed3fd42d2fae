package criu

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// stage is a folder in which CRIU finds what it needs, in a mount namespace of its
// own: its images, a changed copy of some of them, the root directory of its tasks.
type stage struct {
	dir    string
	mounts bool // it is a file system of its own, in a mount namespace of its own
}

func (s stage) images() string { return filepath.Join(s.dir, "images") }
func (s stage) copies() string { return filepath.Join(s.dir, "copies") }
func (s stage) work() string   { return filepath.Join(s.dir, "work") }
func (s stage) root() string   { return filepath.Join(s.dir, "root") }
func (s stage) config() string { return filepath.Join(s.dir, "criu.conf") }

// remove removes the folder, unless it is the mount point of a file system: that one
// the crew's guardian removes, whatever comes.
func (s stage) remove() error {
	if s.dir == "" || s.mounts {
		return nil
	}
	return os.RemoveAll(s.dir)
}

// enter leads an agent to where CRIU is to run, and prepares what it needs there.
//
// What an ancestor owns is joined with the rights of the host's root, before the user
// namespace. A procfs is mounted before too: it takes CAP_SYS_ADMIN in the user
// namespace that owns the pid namespace (mount_capable, fs/super.c). The mount
// namespace that CRIU is to change is made after it, by a process that is in the user
// namespace, to belong to it.
func (l *layerRun) enter() error {
	if err := l.counters(); err != nil {
		return err
	}
	var err error
	if err := l.furnish(); err != nil {
		return err
	}
	if l.agent, err = l.bornIn(l.layer.space()); err != nil {
		return err
	}
	// Not in /tmp, see mountTmp.
	if l.stage.dir, err = os.MkdirTemp("/run", "renest-criu-"); err != nil {
		return err
	}
	l.stage.mounts = slices.Contains(l.layer.made, l.layer.in(topology.Mnt))
	if err := l.crew.Undo(unix.SYS_UNLINKAT, agent.Int(unix.AT_FDCWD), agent.String(l.stage.dir), agent.Int(unix.AT_REMOVEDIR)); err != nil {
		return err
	}
	var p agent.Program
	p.Call("setgroups", unix.SYS_SETGROUPS, agent.Int(0), agent.Int(0)).MayFail()
	for _, n := range l.layer.enter {
		if !n.Type.HasParent() {
			p.Call("enter "+n.Name(), unix.SYS_SETNS, agent.Int(l.fds[n]), agent.Int(0))
		}
		if n.Type == topology.Net {
			setLoopback(&p, true)
		}
	}
	if l.stage.mounts {
		if err := l.mount(&p); err != nil {
			return err
		}
	}
	if err := l.agent.Run(l.ctx, &p); err != nil {
		return err
	}
	if err := l.fill(); err != nil {
		return fmt.Errorf("prepare the images: %w", err)
	}
	return l.become()
}

// mount has the agent make a mount namespace of the host's root, with the stage.
func (l *layerRun) mount(p *agent.Program) error {
	dir := filepath.Join(l.r.o.Dir, l.layer.record.Dir)
	mount := func(what, source, target, fstype string, flags uintptr, data string) {
		p.Call(what, unix.SYS_MOUNT, agent.String(source), agent.String(target), agent.String(fstype), agent.Int(flags), agent.String(data))
	}
	p.Call("unshare mounts", unix.SYS_UNSHARE, agent.Int(unix.CLONE_NEWNS))
	mount("make mounts private", "none", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	// Taken before the stage is mounted, which may cover them.
	const clone = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC
	tree := func(path string, flags int) *agent.Call {
		return p.Call("open "+path, unix.SYS_OPEN_TREE, agent.Int(unix.AT_FDCWD), agent.String(path), agent.Int(flags))
	}
	var root *agent.Call
	if n := l.layer.mounts; n != nil {
		own := p.Call("open mount namespace", unix.SYS_OPENAT, agent.Int(l.agent.Dir()), agent.String("ns/mnt"), agent.Int(unix.O_RDONLY|unix.O_CLOEXEC))
		p.Call("enter "+n.Name(), unix.SYS_SETNS, agent.Int(l.fds[n]), agent.Int(unix.CLONE_NEWNS))
		root = tree(l.layer.record.Root, clone|unix.AT_RECURSIVE)
		p.Call("enter mount namespace", unix.SYS_SETNS, own.Ret(), agent.Int(unix.CLONE_NEWNS))
		p.Call("close", unix.SYS_CLOSE, own.Ret())
	} else {
		root = tree(l.layer.record.Root, clone|unix.AT_RECURSIVE)
	}
	images := tree(dir, clone)
	if user := l.layer.in(topology.User); !user.External {
		// Where the file system has no such mounts, fill copies the images.
		p.Call("mount_setattr", unix.SYS_MOUNT_SETATTR, images.Ret(), agent.String(""), agent.Int(unix.AT_EMPTY_PATH),
			agent.Bytes(idmapped(l.fds[user])), agent.Int(mountAttrSize)).MayFail()
	}
	mountTmp(p)
	mount("mount the stage", "renest", l.stage.dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755")
	for _, path := range []string{l.stage.images(), l.stage.copies(), l.stage.work(), l.stage.root()} {
		p.Call("make "+path, unix.SYS_MKDIRAT, agent.Int(unix.AT_FDCWD), agent.String(path), agent.Int(0o755))
	}
	for _, m := range []struct {
		from *agent.Call
		to   string
	}{{root, l.stage.root()}, {images, l.stage.images()}} {
		p.Call("mount "+m.to, unix.SYS_MOVE_MOUNT, m.from.Ret(), agent.String(""), agent.Int(unix.AT_FDCWD), agent.String(m.to), agent.Int(unix.MOVE_MOUNT_F_EMPTY_PATH))
		p.Call("close", unix.SYS_CLOSE, m.from.Ret())
	}
	if !l.layer.space().External {
		mount("mount proc", "proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	}
	return nil
}

// become has the agent enter the user namespace, and leave what only it is to be in:
// scratch namespaces that CRIU may do to as it likes.
func (l *layerRun) become() error {
	user := l.layer.in(topology.User)
	var p agent.Program
	var flags uintptr
	if l.stage.mounts {
		flags |= unix.CLONE_NEWNS
	}
	if !user.External {
		becomeRootOf(&p, user, l.fds[user])
		for typ, flag := range map[topology.Type]uintptr{topology.Net: unix.CLONE_NEWNET, topology.IPC: unix.CLONE_NEWIPC} {
			if slices.Contains(l.layer.made, l.layer.in(typ)) {
				flags |= flag
			}
		}
	}
	p.Call("unshare", unix.SYS_UNSHARE, agent.Int(flags))
	if l.stage.mounts {
		p.Call("make mounts private", unix.SYS_MOUNT, agent.String("none"), agent.String("/"), agent.String(""), agent.Int(unix.MS_REC|unix.MS_PRIVATE), agent.Int(0))
	}
	if flags&unix.CLONE_NEWNET != 0 {
		setLoopback(&p, true)
	}
	return l.agent.Run(l.ctx, &p)
}

// becomeRootOf adds the entering of a user namespace, as its root. It has power over the
// agent from then on.
func becomeRootOf(p *agent.Program, user *topology.Namespace, fd int) {
	p.Call("enter "+user.Name(), unix.SYS_SETNS, agent.Int(fd), agent.Int(unix.CLONE_NEWUSER))
	p.Call("become root", unix.SYS_SETRESGID, agent.Int(0), agent.Int(0), agent.Int(0))
	p.Call("become root", unix.SYS_SETRESUID, agent.Int(0), agent.Int(0), agent.Int(0))
	p.Expose()
}

// fill writes what CRIU reads into the stage: changed copies of images, which are
// mounted over those, and the configuration. Where the user namespace's root cannot
// read the images, all of them are copied.
//
// Links would not do: CRIU opens images after it has changed its root, by a descriptor
// of their folder.
func (l *layerRun) fill() error {
	dir := filepath.Join(l.r.o.Dir, l.layer.record.Dir)
	changed, err := l.r.o.Share(dir, l.layer.share())
	if err != nil {
		return err
	}
	if err := l.writeConfig(); err != nil {
		return err
	}
	if !l.stage.mounts {
		return l.link(dir, changed)
	}
	root, err := os.OpenRoot(l.within(l.stage.dir))
	if err != nil {
		return err
	}
	defer root.Close()
	if err := l.linkTmp(); err != nil {
		return err
	}
	owner, readable := l.owner()
	var p agent.Program
	for _, name := range slices.Sorted(maps.Keys(changed)) {
		path := filepath.Join("copies", name)
		if err := errors.Join(root.WriteFile(path, changed[name], 0o600), root.Lchown(path, owner, -1)); err != nil {
			return err
		}
		if readable {
			p.Call("mount over "+name, unix.SYS_MOUNT, agent.String(filepath.Join(l.stage.copies(), name)),
				agent.String(filepath.Join(l.stage.images(), name)), agent.Int(0), agent.Int(unix.MS_BIND), agent.Int(0))
		}
	}
	if !readable {
		if err := copyImages(root, dir, changed, owner); err != nil {
			return err
		}
		p.Call("mount the copies", unix.SYS_MOUNT, agent.String(l.stage.copies()), agent.String(l.stage.images()), agent.Int(0), agent.Int(unix.MS_BIND), agent.Int(0))
	}
	return errors.Join(root.Lchown("work", owner, -1), l.agent.Run(l.ctx, &p))
}

// within returns a path of the agent's mount namespace as a path of ours.
func (l *layerRun) within(path string) string {
	return fmt.Sprintf("/proc/%d/root%s", l.agent.PID(), path)
}

func (l *layerRun) writeConfig() error {
	path := l.stage.config()
	if l.stage.mounts {
		path = l.within(path)
	}
	text := strings.Join(append([]string{"work-dir " + l.stage.work()}, l.r.o.Config...), "\n") + "\n"
	return os.WriteFile(path, []byte(text), 0o644)
}

// link makes a folder of links to the images, but for those that are changed.
func (l *layerRun) link(dir string, changed map[string][]byte) error {
	if err := errors.Join(os.Mkdir(l.stage.images(), 0o700), os.Mkdir(l.stage.work(), 0o700)); err != nil {
		return err
	}
	names, err := imageNames(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		path := filepath.Join(l.stage.images(), name)
		if content, ok := changed[name]; ok {
			err = os.WriteFile(path, content, 0o600)
		} else {
			err = os.Symlink(filepath.Join(dir, name), path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func copyImages(root *os.Root, dir string, changed map[string][]byte, owner int) error {
	names, err := imageNames(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, ok := changed[name]; ok {
			continue
		}
		path := filepath.Join("copies", name)
		if err := errors.Join(copyFile(root, path, filepath.Join(dir, name)), root.Lchown(path, owner, -1)); err != nil {
			return err
		}
	}
	return nil
}

// imageNames lists the images in a folder.
func imageNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() && strings.HasSuffix(e.Name(), ".img") {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// owner returns the id, in our numbers, of root in the layer's user namespace, and
// whether that may read the images where they are.
func (l *layerRun) owner() (id int, readable bool) {
	user := l.layer.in(topology.User)
	if user.External {
		return 0, true
	}
	m := user.User.UIDMap
	for up := user.Owner; up != nil && !up.External && up.User != nil; up = up.Owner {
		m = topology.Compose(m, up.User.UIDMap)
	}
	uid, _ := topology.MapDown(m, 0)
	// Through an idmapped mount root's own files belong to that id.
	var st unix.Stat_t
	if err := unix.Stat(l.within(filepath.Join(l.stage.images(), "inventory.img")), &st); err != nil {
		return int(uid), false
	}
	return int(uid), st.Uid == uid
}

func copyFile(root *os.Root, name, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
