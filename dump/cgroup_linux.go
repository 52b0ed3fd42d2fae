package dump

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

var errNoCgroup2 = errors.New("no cgroup2 hierarchy")

// cgroupVisit finds the root of a cgroup namespace: a task's /proc/PID/cgroup
// shows its path from the root of the reader's cgroup namespace
// (cgroup_path_ns, kernel/cgroup/cgroup.c), so it is read from here and from
// inside.
func (d *dumper) cgroupVisit(n *node) visit {
	var read func() ([]byte, error)
	return visit{
		node: n,
		what: "cgroup root",
		ask: func(p *agent.Program, _ agent.Arg) {
			if n.member.pid != 0 {
				read = readFile(p, strconv.Itoa(n.member.pid)+"/task/"+strconv.Itoa(n.member.tid)+"/cgroup", 2)
			}
		},
		take: func() error {
			if read == nil {
				d.lost = append(d.lost, n)
				return nil
			}
			b, err := read()
			if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) { // the task has ended
				d.lost = append(d.lost, n)
				return nil
			}
			if err != nil {
				return err
			}
			inside, ok := unifiedPath(b)
			if !ok {
				return errNoCgroup2
			}
			outside, err := d.cgroupOf(n)
			if errors.Is(err, nsfs.ErrGone) {
				d.lost = append(d.lost, n)
				return nil
			}
			if err != nil {
				return err
			}
			root, ok := cgroupRoot(outside, inside)
			if !ok {
				d.lost = append(d.lost, n)
				return nil
			}
			n.out.Cgroup = &topology.CgroupState{Root: root}
			return nil
		},
	}
}

// cgroupOf reads the path of n's member from here.
func (d *dumper) cgroupOf(n *node) (string, error) {
	t, err := d.task(n.member)
	if err != nil {
		return "", err
	}
	defer t.Close()
	if ref, err := t.Ref(nsfs.InCgroup); err != nil || ref != n.ref {
		return "", nsfs.ErrGone
	}
	b, err := t.ReadFile("cgroup")
	if err != nil {
		return "", err
	}
	path, ok := unifiedPath(b)
	if !ok {
		return "", errNoCgroup2
	}
	return path, nil
}
