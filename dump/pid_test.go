//go:build linux

package dump

import (
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/test/require"
	"github.com/renest/renest/topology"
)

// TestDead has a pid namespace whose init is gone, held by a descriptor, and the
// parent of it, dead as well and held by nothing but its child.
func TestDead(t *testing.T) {
	asUser(t)
	root := nest(t)
	user := fork(t, root, nsfs.User)
	p1 := fork(t, user, nsfs.PID)
	p2 := fork(t, p1, nsfs.PID)
	openNS(t, root, p2, nsfs.InPID)
	exit(t, p2)
	exit(t, p1)
	g := tree(t, root.PID())
	wantComplete(t, g)
	ps := own(g, topology.PID)
	if len(ps) != 2 || ps[0].State != topology.Dead || ps[1].State != topology.Dead {
		t.Fatalf("pid namespaces: %+v", ps)
	}
	if ps[1].Parent != ps[0] && ps[0].Parent != ps[1] {
		t.Error("neither is the parent of the other")
	}
}

// TestDeadAlone has a dead pid namespace that nothing but a descriptor leads to:
// no child of it says that it has lived.
func TestDeadAlone(t *testing.T) {
	asUser(t)
	root := nest(t)
	p := fork(t, fork(t, root, nsfs.User), nsfs.PID)
	openNS(t, root, p, nsfs.InPID)
	exit(t, p)
	g := tree(t, root.PID())
	wantComplete(t, g)
	if ps := own(g, topology.PID); len(ps) != 1 || ps[0].State != topology.Dead {
		t.Fatalf("pid namespaces: %+v", ps)
	}
}

// TestUnborn has a pid namespace that a task's children are to be in, and one that
// nothing but a descriptor of this process leads to.
func TestUnborn(t *testing.T) {
	asUser(t)
	p := testProc(t)
	require.That(t, "pidfd-namespaces", nsfs.HavePIDFDNamespaces(p))
	root := nest(t)
	a := fork(t, root, nsfs.User)
	call(t, a, "unshare", unix.SYS_UNSHARE, agent.Int(unix.CLONE_NEWPID))
	g := tree(t, root.PID())
	wantComplete(t, g)
	ps := own(g, topology.PID)
	if len(ps) != 1 || ps[0].State != topology.Unborn || !slices.Equal(pins(ps[0]), []topology.PinKind{topology.PinPIDForChildren}) {
		t.Fatalf("pid namespaces: %+v", ps)
	}
	task, err := p.Task(a.PID())
	if err != nil {
		t.Fatal(err)
	}
	defer task.Close()
	ns, err := task.OpenByPIDFD(nsfs.PIDForChildren)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	exit(t, a)
	ref, err := ns.Ref()
	if err != nil {
		t.Fatal(err)
	}
	n := tree(t, os.Getpid()).Index().Lookup(topology.PID, ref.Ino)
	if n == nil || n.State != topology.Unborn || !slices.Equal(pins(n), []topology.PinKind{topology.PinFD}) {
		t.Errorf("held by the descriptor: %+v", n)
	}
}
