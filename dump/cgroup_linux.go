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
			text, err := d.cgroupOf(n)
			if errors.Is(err, nsfs.ErrGone) {
				d.lost = append(d.lost, n)
				return nil
			}
			if err != nil {
				return err
			}
			outside, ok := unifiedPath(text)
			if !ok {
				return errNoCgroup2
			}
			root, ok := cgroupRoot(outside, inside)
			if !ok {
				d.lost = append(d.lost, n)
				return nil
			}
			n.out.Cgroup = &topology.CgroupState{Root: root, V1: differInV1(text, b)}
			return nil
		},
	}
}

// cgroupOf reads the paths of n's member from here.
func (d *dumper) cgroupOf(n *node) ([]byte, error) {
	t, err := d.task(n.member)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	if ref, err := t.Ref(nsfs.InCgroup); err != nil || ref != n.ref {
		return nil, nsfs.ErrGone
	}
	return t.ReadFile("cgroup")
}
