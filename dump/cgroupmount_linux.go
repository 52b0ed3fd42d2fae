package dump

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// lostCgroups finds the roots of cgroup namespaces in which no task is, or none
// that is below the root still.
func (v *inside) lostCgroups() error {
	var visits []visit
	for _, n := range v.d.lost {
		visits = append(visits, v.d.cgroupMountVisit(n))
	}
	return v.visitAll(visits)
}

// cgroupMountVisit mounts cgroup2 from inside, nowhere: what that shows as its
// root is the cgroup namespace's (cgroup_do_get_tree, kernel/cgroup/cgroup.c), and
// the inode number of it is the cgroup's id.
func (d *dumper) cgroupMountVisit(n *node) visit {
	const (
		cmdCreate = 6   // FSCONFIG_CMD_CREATE
		statSize  = 144 // struct stat: 144 bytes on amd64, 128 on arm64
		inode     = 8   // st_ino, on both
	)
	buf := agent.NewBuffer(statSize)
	var stat *agent.Call
	return visit{
		node: n,
		what: "cgroup root",
		ask: func(p *agent.Program) {
			fs := p.Call("fsopen cgroup2", unix.SYS_FSOPEN, agent.String("cgroup2"), agent.Int(unix.FSOPEN_CLOEXEC)).MayFail()
			p.Call("fsconfig cgroup2", unix.SYS_FSCONFIG, fs.Ret(), agent.Int(cmdCreate), agent.Int(0), agent.Int(0), agent.Int(0)).MayFail()
			mnt := p.Call("fsmount cgroup2", unix.SYS_FSMOUNT, fs.Ret(), agent.Int(unix.FSMOUNT_CLOEXEC), agent.Int(0)).MayFail()
			stat = p.Call("stat cgroup2", unix.SYS_FSTAT, mnt.Ret(), agent.Out(buf)).MayFail()
			p.Call("close", unix.SYS_CLOSE, mnt.Ret()).MayFail()
			p.Call("close", unix.SYS_CLOSE, fs.Ret()).MayFail()
		},
		take: func() error {
			if err := stat.Err(); err != nil {
				return fmt.Errorf("no task in it shows it, and cgroup2 cannot be mounted from inside: %w", err)
			}
			root, err := d.cgroupByID(binary.NativeEndian.Uint64(buf.Bytes(statSize)[inode:]))
			if err == nil {
				n.out.Cgroup = &topology.CgroupState{Root: root}
			}
			return err
		},
	}
}

// cgroupByID returns the path of a cgroup, by its file handle on a mount of cgroup2
// (fs/kernfs/mount.c). It needs CAP_DAC_READ_SEARCH.
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
	fd, err := unix.OpenByHandleAt(dir, unix.NewFileHandle(fileidKernfs, binary.NativeEndian.AppendUint64(nil, id)), unix.O_PATH|unix.O_CLOEXEC)
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
