package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// cgroups are those that cgroup namespaces are rooted at.
type cgroups struct {
	make bool // where they are not there
	// fds has descriptors of the agents' table by path, -1 of those that agents cannot
	// be born in; made has those that were not there.
	fds  map[string]int
	made []string
}

// intoCgroup has a fork lead into the cgroup that n is to be rooted at, where this
// host has it or it was asked to be made. Where it cannot, n is rooted at the
// caller's own, with a note.
func (e *executor) intoCgroup(ctx context.Context, n *topology.Namespace, o *agent.ForkOptions) error {
	root := n.Cgroup.Root
	fd, tried := e.cgroup.fds[root]
	if !tried {
		var reason error
		var err error
		if fd, reason, err = e.openCgroup(ctx, root); err != nil {
			return err
		}
		if reason != nil {
			e.note("%s: rooted at the caller's own cgroup: %v", n.Name(), reason)
		}
		e.cgroup.fds[root] = fd
	}
	if fd >= 0 {
		o.Flags |= unix.CLONE_INTO_CGROUP
		o.Cgroup = fd
	}
	return nil
}

// openCgroup opens a cgroup for the agents, and tries whether one can be born there:
// not so where it has controllers for cgroups below, or is another's. The reason says
// why there is no descriptor.
func (e *executor) openCgroup(ctx context.Context, name string) (fd int, reason, err error) {
	dir, reason := e.findCgroup(ctx, name)
	if reason != nil {
		return -1, reason, nil
	}
	defer dir.Close()
	var p agent.Program
	open := p.Call("open", unix.SYS_OPENAT, agent.Int(agent.ProcFD), agent.String(fmt.Sprintf("%d/fd/%d", os.Getpid(), dir.Fd())),
		agent.Int(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC)).MayFail()
	if err := e.agents[0].Run(ctx, &p); err != nil {
		return -1, nil, err
	}
	if err := open.Err(); err != nil {
		return -1, fmt.Errorf("cgroup %s: %w", name, err), nil
	}
	var try agent.Program
	born := try.Spawn(e.crew, "fork into cgroup "+name, agent.ForkOptions{Flags: unix.CLONE_INTO_CGROUP, Cgroup: open.Value()}, &agent.Program{}).MayFail()
	if err := e.agents[0].Run(ctx, &try); err != nil {
		return -1, nil, err
	}
	if err := born.Err(); err != nil {
		return -1, err, nil
	}
	return open.Value(), nil, nil
}

// findCgroup opens a cgroup of the unified hierarchy by its path from the root, as it
// is mounted here. The path comes from an image: os.Root keeps it below the mount.
func (e *executor) findCgroup(ctx context.Context, name string) (*os.File, error) {
	mount, err := cgroupMount()
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(mount)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	rel := strings.Trim(name, "/")
	if rel == "" {
		rel = "."
	}
	dir, err := root.Open(rel)
	if errors.Is(err, fs.ErrNotExist) && e.cgroup.make {
		if err := e.mkdirs(ctx, root, mount, rel); err != nil {
			return nil, err
		}
		dir, err = root.Open(rel)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("this host has no cgroup %s: --cgroups make makes it", strconv.Quote(name))
	}
	return dir, err
}

// mkdirs makes a cgroup and those above it that are missing. The guardian does, which
// removes them when nobody can be in them any more.
func (e *executor) mkdirs(ctx context.Context, root *os.Root, mount, rel string) error {
	if above := path.Dir(rel); above != "." {
		if _, err := root.Stat(above); errors.Is(err, fs.ErrNotExist) {
			if err := e.mkdirs(ctx, root, mount, above); err != nil {
				return err
			}
		}
	}
	full := path.Join(mount, rel)
	var mkdir, rmdir agent.Program
	mkdir.Call("make cgroup /"+rel, unix.SYS_MKDIRAT, agent.Int(unix.AT_FDCWD), agent.String(full), agent.Int(0o755))
	rmdir.Call("remove cgroup /"+rel, unix.SYS_UNLINKAT, agent.Int(unix.AT_FDCWD), agent.String(full), agent.Int(unix.AT_REMOVEDIR))
	err := e.crew.DoLast(ctx, &mkdir, &rmdir)
	if errors.Is(err, unix.EEXIST) { // another's, made in between
		return nil
	}
	if err != nil {
		return err
	}
	e.cgroup.made = append(e.cgroup.made, full)
	return nil
}

// cgroupMount returns where the unified hierarchy is mounted.
func cgroupMount() (string, error) {
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
			return dir, nil
		}
	}
	return "", errors.New("cgroup2 is mounted neither at /sys/fs/cgroup nor at /sys/fs/cgroup/unified")
}
