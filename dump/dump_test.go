//go:build linux

package dump

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

func TestAllIsValid(t *testing.T) {
	asUser(t)
	g, err := All(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Validate(); err != nil {
		t.Error(err)
	}
	for _, task := range g.Tasks {
		if task.PID == os.Getpid() && task.TID == task.PID {
			return
		}
	}
	t.Error("this process is not in it")
}

// TestNested builds user, pid, uts, ipc, net, time and mount namespaces two deep.
func TestNested(t *testing.T) {
	asUser(t)
	root := nest(t)
	outer := fork(t, root, nsfs.User|nsfs.Mnt|nsfs.UTS|nsfs.IPC)
	hostname(t, outer, "outer")
	inner := fork(t, outer, nsfs.User|nsfs.UTS|nsfs.Net)
	hostname(t, inner, "inner")
	call(t, inner, "unshare", unix.SYS_UNSHARE, agent.Int(unix.CLONE_NEWTIME))
	write(t, inner, "self/timens_offsets", "monotonic 1000 5\nboottime -7 0\n")
	leaf := fork(t, inner, nsfs.PID)
	g := tree(t, root.PID())
	wantComplete(t, g)

	users, pids, uts := own(g, topology.User), own(g, topology.PID), own(g, topology.UTS)
	if len(users) != 2 || len(pids) != 1 || len(uts) != 2 {
		t.Fatalf("%d user, %d pid, %d uts namespaces", len(users), len(pids), len(uts))
	}
	id, gid := uint32(os.Geteuid()), uint32(os.Getegid())
	want := []*topology.UserState{
		{OwnerUID: id, UIDMap: []topology.Extent{{Outside: id, Count: 1}}, GIDMap: []topology.Extent{{Outside: gid, Count: 1}}, Setgroups: "deny"},
		{OwnerUID: 0, UIDMap: []topology.Extent{{Count: 1}}, GIDMap: []topology.Extent{{Count: 1}}, Setgroups: "deny"},
	}
	if diff := cmp.Diff(want, []*topology.UserState{users[0].User, users[1].User}); diff != "" {
		t.Errorf("user (-want +got):\n%s", diff)
	}
	if users[1].Parent != users[0] || !users[0].Parent.External {
		t.Error("parents of the user namespaces are not what they should be")
	}
	if pids[0].Owner != users[1] || !pids[0].Parent.External || pids[0].State != topology.Active {
		t.Errorf("pid namespace: %+v", pids[0])
	}
	last := g.Tasks[len(g.Tasks)-1]
	if diff := cmp.Diff([]int{leaf.PID(), 1}, last.NSPID); pids[0].PID.Init != leaf.PID() || diff != "" {
		t.Errorf("init %d, its numbers (-want +got):\n%s", pids[0].PID.Init, diff)
	}
	names := map[*topology.Namespace]string{}
	for _, n := range uts {
		names[n.Owner] = n.UTS.NodeName
	}
	if names[users[0]] != "outer" || names[users[1]] != "inner" {
		t.Errorf("host names %v", names)
	}
	times := own(g, topology.Time)
	if len(times) != 1 {
		t.Fatalf("%d time namespaces", len(times))
	}
	wantTime := &topology.TimeState{Monotonic: topology.Offset{Sec: 1000, Nsec: 5}, Boottime: topology.Offset{Sec: -7}}
	if diff := cmp.Diff(wantTime, times[0].Time); diff != "" {
		t.Errorf("time (-want +got):\n%s", diff)
	}
}

func hostname(t testing.TB, a *agent.Agent, name string) {
	t.Helper()
	call(t, a, "sethostname", unix.SYS_SETHOSTNAME, agent.String(name), agent.Int(len(name)))
}

// TestTimeWithoutChildren has a time namespace that no task's children will be in,
// so that no task's file shows its offsets.
func TestTimeWithoutChildren(t *testing.T) {
	asUser(t)
	root := nest(t)
	a := fork(t, root, nsfs.User)
	call(t, a, "unshare", unix.SYS_UNSHARE, agent.Int(unix.CLONE_NEWTIME))
	write(t, a, "self/timens_offsets", "monotonic 11 0\nboottime 22 0\n")
	b := fork(t, a, 0)
	call(t, b, "unshare", unix.SYS_UNSHARE, agent.Int(unix.CLONE_NEWTIME))
	write(t, b, "self/timens_offsets", "monotonic 33 0\n")
	exit(t, a)
	g := tree(t, b.PID())
	wantComplete(t, g)
	got := map[topology.PinKind]*topology.TimeState{}
	for _, n := range own(g, topology.Time) {
		got[pins(n)[0]] = n.Time
	}
	want := map[topology.PinKind]*topology.TimeState{
		topology.PinTask:            {Monotonic: topology.Offset{Sec: 11}, Boottime: topology.Offset{Sec: 22}},
		topology.PinTimeForChildren: {Monotonic: topology.Offset{Sec: 33}, Boottime: topology.Offset{Sec: 22}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestHole has a user namespace without a task that owns another, which owns what
// a descriptor holds.
func TestHole(t *testing.T) {
	asUser(t)
	root := nest(t)
	outer := fork(t, root, nsfs.User)
	inner := fork(t, outer, nsfs.User|nsfs.Net|nsfs.UTS|nsfs.Cgroup|nsfs.Time)
	hostname(t, inner, "hole")
	for _, l := range []nsfs.Link{nsfs.InNet, nsfs.InUTS, nsfs.InTime} {
		openNS(t, root, inner, l)
	}
	exit(t, inner)
	exit(t, outer)
	g := tree(t, root.PID())
	wantComplete(t, g)
	users, nets, uts, times := own(g, topology.User), own(g, topology.Net), own(g, topology.UTS), own(g, topology.Time)
	if len(users) != 2 || len(nets) != 1 || nets[0].Owner != users[1] || users[1].Parent != users[0] || len(uts) != 1 || len(times) != 1 {
		t.Fatalf("%d user, %d net, %d uts, %d time namespaces", len(users), len(nets), len(uts), len(times))
	}
	id, gid := uint32(os.Geteuid()), uint32(os.Getegid())
	want := []*topology.UserState{
		{OwnerUID: id, UIDMap: []topology.Extent{{Outside: id, Count: 1}}, GIDMap: []topology.Extent{{Outside: gid, Count: 1}}, Setgroups: "deny"},
		{OwnerUID: 0, UIDMap: []topology.Extent{{Count: 1}}, GIDMap: []topology.Extent{{Count: 1}}, Setgroups: "deny"},
	}
	if diff := cmp.Diff(want, []*topology.UserState{users[0].User, users[1].User}); diff != "" {
		t.Errorf("user (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]topology.PinKind{topology.PinFD}, pins(nets[0])); diff != "" {
		t.Errorf("pins (-want +got):\n%s", diff)
	}
	if uts[0].UTS == nil || uts[0].UTS.NodeName != "hole" {
		t.Errorf("uts: %+v", uts[0].UTS)
	}
	if diff := cmp.Diff(&topology.TimeState{}, times[0].Time); diff != "" {
		t.Errorf("time (-want +got):\n%s", diff)
	}
}

// TestGuest enters a tree's pid namespace from outside: a task that dies with the
// tree belongs to it.
func TestGuest(t *testing.T) {
	asUser(t)
	root := nest(t)
	user := fork(t, root, nsfs.User)
	inside := fork(t, user, nsfs.PID)
	outsider := fork(t, user, 0)
	fd := openNS(t, outsider, inside, nsfs.InPID)
	call(t, outsider, "setns", unix.SYS_SETNS, agent.Int(fd), agent.Int(unix.CLONE_NEWPID))
	guest := fork(t, outsider, nsfs.IPC)
	g := tree(t, inside.PID())
	wantComplete(t, g)
	var got []int
	for _, task := range g.Tasks {
		got = append(got, task.PID)
	}
	if diff := cmp.Diff([]int{inside.PID(), guest.PID()}, got); diff != "" {
		t.Errorf("tasks (-want +got):\n%s", diff)
	}
	if len(own(g, topology.IPC)) != 1 {
		t.Error("the guest's ipc namespace is missing")
	}
}

func testSelf(t testing.TB) nsfs.Task {
	t.Helper()
	self, err := testProc(t).Self()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(self.Close)
	return self
}

func testProc(t testing.TB) *nsfs.Proc {
	t.Helper()
	p, err := nsfs.OpenProc()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func TestNoSuchRoot(t *testing.T) {
	_, err := Tree(t.Context(), 1<<22+1, Options{})
	if !errors.Is(err, unix.ESRCH) || !strings.Contains(err.Error(), "pid 4194305: no such process") {
		t.Errorf("error %v", err)
	}
}

// TestCanceled: a dump that was told to end says why, whatever it was at.
func TestCanceled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	_, all := All(ctx, Options{})
	d := &dumper{ctx: ctx}
	_, reading := d.parallel(1, func(*reader, int) {})
	looking := d.lookUntilStable(func(*dumper) error { return nil })
	for what, err := range map[string]error{"all": all, "reading": reading, "looking": looking} {
		if !errors.Is(err, cause) {
			t.Errorf("%s: %v, want %v", what, err, cause)
		}
	}
}

func TestSourceListns(t *testing.T) {
	g, err := All(t.Context(), Options{Source: Listns})
	if err == nil {
		if g.Header.Source != "listns" {
			t.Errorf("source %q", g.Header.Source)
		}
		return
	}
	if !strings.Contains(err.Error(), "source proc") {
		t.Errorf("error %v does not say what would work", err)
	}
}
