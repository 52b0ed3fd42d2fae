//go:build linux

package dump

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/test/require"
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

func TestBindMounts(t *testing.T) {
	asUser(t)
	root := nest(t)
	a := fork(t, root, nsfs.User|nsfs.Mnt)
	b := fork(t, a, nsfs.Net)
	var p agent.Program
	at := agent.Int(unix.AT_FDCWD)
	p.Call("mount tmpfs", unix.SYS_MOUNT, agent.String("none"), agent.String("/tmp"), agent.String("tmpfs"), agent.Int(0), agent.Int(0))
	p.Call("mknod", unix.SYS_MKNODAT, at, agent.String("/tmp/a b"), agent.Int(unix.S_IFREG|0o600), agent.Int(0))
	p.Call("bind", unix.SYS_MOUNT, agent.String("/proc/"+strconv.Itoa(b.PID())+"/ns/net"), agent.String("/tmp/a b"), agent.Int(0),
		agent.Int(unix.MS_BIND), agent.Int(0))
	if err := a.Run(t.Context(), &p); err != nil {
		t.Fatal(err)
	}
	exit(t, b)
	g := tree(t, root.PID())
	wantComplete(t, g)
	nets, mnts := own(g, topology.Net), own(g, topology.Mnt)
	if len(nets) != 1 || len(mnts) != 1 {
		t.Fatalf("%d net, %d mnt namespaces", len(nets), len(mnts))
	}
	want := topology.Pin{Kind: topology.PinBind, Path: "/tmp/a b", Mnt: mnts[0]}
	if len(nets[0].Pins) != 1 || nets[0].Pins[0] != want {
		t.Errorf("pins %+v, want %+v", nets[0].Pins, want)
	}
}

func TestCgroup(t *testing.T) {
	asUser(t)
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	want, ok := unifiedPath(b)
	if !ok {
		require.That(t, "cgroup2", errors.New("no hierarchy"))
	}
	root := nest(t)
	fork(t, root, nsfs.User|nsfs.Cgroup)
	g := tree(t, root.PID())
	wantComplete(t, g)
	if c := own(g, topology.Cgroup); len(c) != 1 || c[0].Cgroup == nil || c[0].Cgroup.Root != want {
		t.Errorf("root %+v, want %s", c, want)
	}
}

// TestCgroupWithoutTask has a cgroup namespace held by a descriptor, and rooted in
// a cgroup where no task is.
func TestCgroupWithoutTask(t *testing.T) {
	require.Root(t)
	mnt, err := testSelf(t).MountPoint("cgroup2")
	if err == nil && mnt == "" {
		err = errors.New("not mounted")
	}
	require.That(t, "cgroup2", err)
	name := "renest-test-" + strconv.Itoa(os.Getpid())
	dir := filepath.Join(mnt, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		eventually(t, "the cgroup is empty", func() bool { return os.Remove(dir) == nil })
	})
	root := nest(t)
	a := fork(t, root, 0)
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(a.PID())), 0); err != nil {
		t.Fatal(err)
	}
	b := fork(t, a, nsfs.Cgroup)
	if err := os.WriteFile(filepath.Join(mnt, "cgroup.procs"), []byte(strconv.Itoa(b.PID())), 0); err != nil {
		t.Fatal(err)
	}
	check := func(what string) {
		t.Helper()
		g := tree(t, root.PID())
		wantComplete(t, g)
		if c := own(g, topology.Cgroup); len(c) != 1 || c[0].Cgroup == nil || c[0].Cgroup.Root != "/"+name {
			t.Errorf("%s: %+v, want /%s", what, c[0].Cgroup, name)
		}
	}
	check("its task has left the root")
	openNS(t, root, b, nsfs.InCgroup)
	exit(t, b)
	exit(t, a)
	check("it has no task")
}

// TestThread has a thread with namespaces of its own.
func TestThread(t *testing.T) {
	require.Root(t)
	tid, stop, done := make(chan int), make(chan struct{}), make(chan struct{})
	onThread(func() {
		defer close(done)
		if err := unix.Unshare(unix.CLONE_NEWUTS | unix.CLONE_NEWNET); err != nil {
			t.Error(err)
		}
		tid <- unix.Gettid()
		<-stop
	})
	defer func() { close(stop); <-done }()
	want := <-tid
	g := tree(t, os.Getpid())
	for _, task := range g.Tasks {
		if task.TID != want {
			continue
		}
		uts := task.Namespaces[topology.InUTS]
		if task.PID != os.Getpid() || uts == nil || uts.External || uts.UTS == nil {
			t.Errorf("thread %+v", task)
		}
		if got := uts.Pins; len(got) != 1 || got[0] != (topology.Pin{Kind: topology.PinThread, PID: os.Getpid(), TID: want}) {
			t.Errorf("pins %+v", got)
		}
		return
	}
	t.Errorf("thread %d is not in it", want)
}

// onThread runs f on a thread of its own, which is not the leader and ends with f.
func onThread(f func()) {
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != os.Getpid() {
			f()
			return // locked: the thread is not given back
		}
		defer runtime.UnlockOSThread()
		done := make(chan struct{})
		onThread(func() { defer close(done); f() })
		<-done
	}()
}

// TestInFlight has a namespace that nothing but a message in a socket holds, which
// only listns(2) finds.
func TestInFlight(t *testing.T) {
	require.Root(t)
	require.That(t, "listns", nsfs.HaveListns())
	root := nest(t)
	a := fork(t, root, nsfs.UTS)
	ns, err := nsfs.Open("/proc/" + strconv.Itoa(a.PID()) + "/ns/uts")
	if err != nil {
		t.Fatal(err)
	}
	ref, err := ns.Ref()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	if err := unix.Sendmsg(pair[0], []byte{0}, unix.UnixRights(ns.FD()), nil, 0); err != nil {
		t.Fatal(err)
	}
	ns.Close()
	exit(t, a)
	g, err := All(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n := g.Index().Lookup(topology.UTS, ref.Ino); n == nil || len(n.Pins) != 0 {
		t.Errorf("%s: %+v", ref, n)
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
