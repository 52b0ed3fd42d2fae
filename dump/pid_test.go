//go:build linux

package dump

import (
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
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
	for _, o := range []Options{{}, {NoState: true}} {
		g, err := Tree(t.Context(), os.Getpid(), o)
		if err != nil {
			t.Fatal(err)
		}
		n := g.Index().Lookup(topology.PID, ref.Ino)
		if n == nil || n.State != topology.Unborn || !slices.Equal(pins(n), []topology.PinKind{topology.PinFD}) {
			t.Errorf("%+v: held by the descriptor: %+v", o, n)
		}
	}
}

// TestDeep nests user and pid namespaces as deep as the kernel goes.
func TestDeep(t *testing.T) {
	asUser(t)
	root := nest(t)
	a := root
	for level := range topology.MaxUserLevel {
		flags := nsfs.User
		if level < topology.MaxPIDLevel {
			flags |= nsfs.PID
		}
		a = fork(t, a, flags)
	}
	g := tree(t, root.PID())
	wantComplete(t, g)
	users, ps := own(g, topology.User), own(g, topology.PID)
	if len(users) != topology.MaxUserLevel || len(ps) != topology.MaxPIDLevel {
		t.Errorf("%d user, %d pid namespaces", len(users), len(ps))
	}
	for _, n := range users[1:] {
		if diff := cmp.Diff([]topology.Extent{{Count: 1}}, n.User.UIDMap); diff != "" || n.User.OwnerUID != 0 {
			t.Errorf("%s: creator %d, uid map (-want +got):\n%s", n.Name(), n.User.OwnerUID, diff)
		}
	}
	// Which is not that of the highest number, where others set the last pid.
	inner := slices.MaxFunc(g.Tasks, func(a, b *topology.Task) int { return len(a.NSPID) - len(b.NSPID) })
	if len(inner.NSPID) != topology.MaxPIDLevel+1 {
		t.Errorf("numbers of the innermost: %v", inner.NSPID)
	}
}
