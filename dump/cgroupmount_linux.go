package dump

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// lostCgroups finds the roots of cgroup namespaces in which no task is, or none
// that is below the root still.
func (v *inside) lostCgroups() error {
	var visits []visit
	for _, n := range v.d.lost {
		visits = append(visits, v.cgroupMountVisit(n))
	}
	v.d.lost = nil
	return v.visitAll(visits)
}

// cgroupMountVisit mounts cgroup2 from inside, nowhere: what that shows as its
// root is the cgroup namespace's (cgroup_do_get_tree, kernel/cgroup/cgroup.c), and
// the inode number of it is the cgroup's id. To mount takes CAP_SYS_ADMIN in the
// owner of the mount namespace that one is in (may_mount, fs/namespace.c): without
// it here, the agent makes itself one.
func (v *inside) cgroupMountVisit(n *node) visit {
	const (
		cmdCreate = 6   // FSCONFIG_CMD_CREATE
		statSize  = 144 // struct stat: 144 bytes on amd64, 128 on arm64
		inode     = 8   // st_ino, on both
	)
	buf := agent.NewBuffer(statSize)
	var calls []*agent.Call
	return visit{
		node: n,
		what: "cgroup root",
		ask: func(p *agent.Program, _ agent.Arg) {
			call := func(what string, nr uintptr, args ...agent.Arg) *agent.Call {
				c := p.Call(what, nr, args...).MayFail()
				calls = append(calls, c)
				return c
			}
			if !v.admin {
				call("unshare mount namespace", unix.SYS_UNSHARE, agent.Int(unix.CLONE_NEWNS))
			}
			ctx := call("fsopen cgroup2", unix.SYS_FSOPEN, agent.String("cgroup2"), agent.Int(unix.FSOPEN_CLOEXEC))
			call("fsconfig cgroup2", unix.SYS_FSCONFIG, ctx.Ret(), agent.Int(cmdCreate), agent.Int(0), agent.Int(0), agent.Int(0))
			mnt := call("fsmount cgroup2", unix.SYS_FSMOUNT, ctx.Ret(), agent.Int(unix.FSMOUNT_CLOEXEC), agent.Int(0))
			call("stat cgroup2", unix.SYS_FSTAT, mnt.Ret(), agent.Out(buf))
			p.Call("close", unix.SYS_CLOSE, mnt.Ret()).MayFail()
			p.Call("close", unix.SYS_CLOSE, ctx.Ret()).MayFail()
		},
		take: func() error {
			for _, c := range calls {
				if err := c.Err(); err != nil {
					return fmt.Errorf("no task in it shows it, and cgroup2 cannot be mounted from inside: %w", err)
				}
			}
			root, err := v.d.cgroupByID(binary.NativeEndian.Uint64(buf.Bytes(statSize)[inode:]))
			if err == nil {
				n.out.Cgroup = &topology.CgroupState{Root: root}
			}
			return err
		},
	}
}

// cgroupByID returns the path of a cgroup, by its file handle on a mount of cgroup2
// (fs/kernfs/mount.c), or without CAP_DAC_READ_SEARCH by a walk through that.
func (d *dumper) cgroupByID(id uint64) (string, error) {
	const fileidKernfs = 0xfe // FILEID_KERNFS, include/linux/exportfs.h
	mnt, err := d.self.MountPoint("cgroup2")
	if err != nil {
		return "", err
	}
	if mnt == "" {
		return "", errors.New("cgroup2 is not mounted")
	}
	dir, err := unix.Open(mnt, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("open %s: %w", mnt, err)
	}
	defer unix.Close(dir)
	var st unix.Stat_t
	if unix.Fstat(dir, &st) == nil && st.Ino == id {
		return "/", nil
	}
	fd, err := unix.OpenByHandleAt(dir, unix.NewFileHandle(fileidKernfs, binary.NativeEndian.AppendUint64(nil, id)), unix.O_PATH|unix.O_CLOEXEC)
	if errors.Is(err, unix.EPERM) {
		return walkTo(mnt, id)
	}
	if err != nil {
		return "", fmt.Errorf("open cgroup %d: %w", id, err)
	}
	defer unix.Close(fd)
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return "", err
	}
	root, ok := strings.CutPrefix(path, strings.TrimSuffix(mnt, "/"))
	if !ok {
		return "", fmt.Errorf("cgroup %d is not below %s", id, mnt)
	}
	if root == "" {
		root = "/"
	}
	return root, nil
}

// cgroupsMax bounds the walk through a tree of cgroups.
const cgroupsMax = 100_000

// walkTo looks for the cgroup with an id below a mount of cgroup2.
func walkTo(mnt string, id uint64) (string, error) {
	found, seen := "", 0
	err := filepath.WalkDir(mnt, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // removed, or not to be read
		}
		if !e.IsDir() {
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return nil //nolint:nilerr // removed meanwhile
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Ino == id {
			found = strings.TrimPrefix(path, mnt)
			return fs.SkipAll
		}
		if seen++; seen > cgroupsMax {
			return fmt.Errorf("not among the first %d below %s", cgroupsMax, mnt)
		}
		return nil
	})
	if err == nil && found == "" {
		err = fmt.Errorf("not below %s, as far as that can be read", mnt)
	}
	if err != nil {
		return "", fmt.Errorf("find cgroup %d: %w", id, err)
	}
	return found, nil
}
