//go:build linux

package dump

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// hiding is a place where namespaces are hidden, each in a way of its own.
type hiding struct {
	t      *testing.T
	root   *agent.Agent // in the caller's namespaces
	base   *agent.Agent // may make namespaces and mounts
	keeper *agent.Agent // has what descriptors hold, and no children
	dir    string       // of base's, to mount on
	n      int
}

// secret is a namespace that was hidden, and what is to be found out about it.
type secret struct {
	ref   nsfs.Ref
	state topology.State
	pins  []string
}

func newHiding(t *testing.T) *hiding {
	h := &hiding{t: t, root: nest(t), dir: "/tmp"}
	if os.Geteuid() == 0 {
		h.base, h.dir = h.fork(h.root, 0), t.TempDir()
		t.Cleanup(func() { _ = unix.Unmount(h.dir, unix.MNT_DETACH) })
	} else {
		h.base = h.fork(h.root, nsfs.User|nsfs.Mnt)
	}
	var p agent.Program
	p.Call("mount tmpfs", unix.SYS_MOUNT, agent.String("none"), agent.String(h.dir), agent.String("tmpfs"), agent.Int(0), agent.Int(0))
	p.Call("make it private", unix.SYS_MOUNT, agent.Int(0), agent.String(h.dir), agent.Int(0), agent.Int(unix.MS_PRIVATE), agent.Int(0))
	if err := h.base.Run(t.Context(), &p); err != nil {
		t.Fatal(err)
	}
	h.keeper = h.fork(h.base, 0)
	return h
}

// fork makes a child that has descriptors of its own, the first ones only.
func (h *hiding) fork(a *agent.Agent, flags nsfs.Type) *agent.Agent {
	h.t.Helper()
	child := fork(h.t, a, flags)
	call(h.t, child, "unshare descriptors", unix.SYS_UNSHARE, agent.Int(unix.CLONE_FILES))
	return child
}

// unshare has an agent leave for new namespaces.
func (h *hiding) unshare(a *agent.Agent, flags nsfs.Type) {
	h.t.Helper()
	call(h.t, a, "unshare", unix.SYS_UNSHARE, agent.Int(uint32(flags)))
}

func (h *hiding) ref(a *agent.Agent, l nsfs.Link) nsfs.Ref {
	h.t.Helper()
	task, err := testProc(h.t).Task(a.PID())
	if err != nil {
		h.t.Fatal(err)
	}
	defer task.Close()
	r, err := task.Ref(l)
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

// bind mounts a namespace of an agent in the mount namespace of another, under a
// new name, and says what pin that is.
func (h *hiding) bind(in, of *agent.Agent, l nsfs.Link) string {
	h.t.Helper()
	pin, err := h.tryBind(in, of, l)
	if err != nil {
		h.t.Fatal(err)
	}
	return pin
}

func (h *hiding) tryBind(in, of *agent.Agent, l nsfs.Link) (string, error) {
	h.t.Helper()
	h.n++
	path := fmt.Sprintf("%s/bind-%d", h.dir, h.n)
	var p agent.Program
	p.Call("mknod", unix.SYS_MKNODAT, agent.Int(unix.AT_FDCWD), agent.String(path), agent.Int(unix.S_IFREG|0o600), agent.Int(0))
	p.Call("bind", unix.SYS_MOUNT, agent.String(fmt.Sprintf("/proc/%d/ns/%s", of.PID(), l)), agent.String(path), agent.Int(0),
		agent.Int(unix.MS_BIND), agent.Int(0))
	if err := in.Run(h.t.Context(), &p); err != nil {
		return "", err
	}
	return "bind " + path + " in " + h.ref(in, nsfs.InMnt).String(), nil
}

// keep has the keeper hold a namespace of an agent open, and says what pin that is.
func (h *hiding) keep(of *agent.Agent, l nsfs.Link) string {
	h.t.Helper()
	return fmt.Sprintf("fd %d/%d", h.keeper.PID(), openNS(h.t, h.keeper, of, l))
}

// describePin is a pin as the tests write it.
func describePin(p topology.Pin) string {
	task := strconv.Itoa(p.PID)
	if p.TID != 0 {
		task += ":" + strconv.Itoa(p.TID)
	}
	switch p.Kind {
	case topology.PinFD, topology.PinSocket, topology.PinInFlight:
		return fmt.Sprintf("%s %s/%d", p.Kind, task, p.FD)
	case topology.PinBind:
		return fmt.Sprintf("bind %s in %s", p.Path, p.Mnt.Name())
	case topology.PinChild, topology.PinOwned:
		return fmt.Sprintf("%s %s", p.Kind, p.NS.Name())
	}
	return fmt.Sprintf("%s %s", p.Kind, task)
}

func describePins(n *topology.Namespace) []string {
	list := make([]string, 0, len(n.Pins))
	for _, p := range n.Pins {
		list = append(list, describePin(p))
	}
	slices.Sort(list)
	return list
}

// send sends descriptors, in a message each, to where they are not received until
// the test ends, closes them here, and says what pin they are from then on.
func (h *hiding) send(fds ...int) string {
	h.t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		unix.Close(pair[0])
		unix.Close(pair[1])
	})
	for _, fd := range fds {
		err = unix.Sendmsg(pair[0], []byte{0}, unix.UnixRights(fd), nil, 0)
		unix.Close(fd)
		if err != nil {
			h.t.Fatal(err)
		}
	}
	return fmt.Sprintf("in_flight %d/%d", os.Getpid(), pair[1])
}
