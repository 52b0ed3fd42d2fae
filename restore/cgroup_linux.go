package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
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
// is mounted here. The path comes from an image: it stays below the mount.
func (e *executor) findCgroup(ctx context.Context, name string) (*os.File, error) {
	mount, err := cgroupMount()
	if err != nil {
		return nil, err
	}
	rel, err := belowMount(name)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(mount)
	if err != nil {
		return nil, err
	}
	defer root.Close()
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

// belowMount returns the path of a cgroup from where the hierarchy is mounted. The
// kernel writes no other than a plain one, but for what is above the reader's root.
func belowMount(name string) (string, error) {
	rel := strings.Trim(name, "/")
	if rel == "" {
		return ".", nil
	}
	if path.Clean("/"+rel) != "/"+rel {
		return "", fmt.Errorf("%s is no path below the root of cgroups", strconv.Quote(name))
	}
	return rel, nil
}

// cgroupIntent returns the cgroups that plan may have to make here, those above
// first: the claim has them, for the case that the guardian is killed too.
func cgroupIntent(plan *Plan) []string {
	mount, err := cgroupMount()
	if err != nil {
		return nil // then none is made
	}
	var missing []string
	seen := map[string]bool{}
	for _, s := range plan.Steps {
		if s.Op != OpFork || s.NS == nil {
			continue
		}
		rel, err := belowMount(s.NS.Cgroup.Root)
		if err != nil {
			continue // nor is such a one
		}
		full := mount
		for name := range strings.SplitSeq(rel, "/") {
			full = path.Join(full, name)
			if seen[full] {
				continue
			}
			seen[full] = true
			if _, err := os.Lstat(full); errors.Is(err, fs.ErrNotExist) {
				missing = append(missing, full)
			}
		}
	}
	return missing
}

// removeCgroups removes cgroups, those above given first, that nobody uses: others may
// have made them, or have come in.
func removeCgroups(list []string) error {
	var errs []error
	for _, dir := range slices.Backward(list) {
		if err := unix.Rmdir(dir); err != nil && err != unix.ENOENT && err != unix.EBUSY {
			errs = append(errs, fmt.Errorf("remove cgroup %s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
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
