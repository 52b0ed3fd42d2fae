//go:build linux

package dump

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
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
	pid := script(t, `exec unshare -U -r --mount --uts --ipc sh -ec '
		hostname outer
		unshare -U -r --pid --fork --uts --net --time --monotonic 1000 --boottime -7 sh -ec "hostname inner; echo ready; read x"
		:'`)
	g := tree(t, pid)
	wantComplete(t, g)

	users, pids, uts := own(g, topology.User), own(g, topology.PID), own(g, topology.UTS)
	if len(users) != 2 || len(pids) != 1 || len(uts) != 2 {
		t.Fatalf("%d user, %d pid, %d uts namespaces", len(users), len(pids), len(uts))
	}
	id := uint32(os.Geteuid())
	gid := uint32(os.Getegid())
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
	init := g.Tasks[len(g.Tasks)-1]
	if pids[0].PID.Init != init.PID || len(init.NSPID) != 2 || init.NSPID[1] != 1 {
		t.Errorf("init %d, task %+v", pids[0].PID.Init, init)
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
	wantTime := &topology.TimeState{Monotonic: topology.Offset{Sec: 1000}, Boottime: topology.Offset{Sec: -7}}
	if diff := cmp.Diff(wantTime, times[0].Time); diff != "" {
		t.Errorf("time (-want +got):\n%s", diff)
	}
}

// TestHole has a user namespace without a task, held by a descriptor, that owns
// another, held by a descriptor too.
func TestHole(t *testing.T) {
	asUser(t)
	pid := script(t, `
		unshare -U -r sh -ec 'unshare -U -r --net --uts sleep 100 & echo $!; wait' > /tmp/renest-hole.$$ &
		p=$!
		while ! [ -s /tmp/renest-hole.$$ ]; do sleep 0.01; done
		read q < /tmp/renest-hole.$$
		rm /tmp/renest-hole.$$
		while [ "$(readlink /proc/$q/ns/net)" = "$(readlink /proc/$p/ns/net)" ]; do sleep 0.01; done
		while ! grep -q . /proc/$q/uid_map; do sleep 0.01; done
		exec 7</proc/$q/ns/net 8</proc/$q/ns/uts
		kill $q $p
		wait || :
		echo ready
		read x`)
	g := tree(t, pid)
	wantComplete(t, g)
	users, nets := own(g, topology.User), own(g, topology.Net)
	if len(users) != 2 || len(nets) != 1 || nets[0].Owner != users[1] || users[1].Parent != users[0] {
		t.Fatalf("%d user, %d net namespaces", len(users), len(nets))
	}
	id := uint32(os.Geteuid())
	want := []topology.Extent{{Outside: id, Count: 1}}
	if diff := cmp.Diff(want, users[0].User.UIDMap); diff != "" {
		t.Errorf("outer uid map (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]topology.Extent{{Count: 1}}, users[1].User.UIDMap); diff != "" {
		t.Errorf("inner uid map (-want +got):\n%s", diff)
	}
	if users[0].User.OwnerUID != id || users[1].User.OwnerUID != 0 || users[1].User.Setgroups != "deny" {
		t.Errorf("creators %d and %d, setgroups %s", users[0].User.OwnerUID, users[1].User.OwnerUID, users[1].User.Setgroups)
	}
	if diff := cmp.Diff([]topology.PinKind{topology.PinFD}, pins(nets[0])); diff != "" {
		t.Errorf("pins (-want +got):\n%s", diff)
	}
	if uts := own(g, topology.UTS); len(uts) != 1 || uts[0].UTS == nil {
		t.Errorf("uts: %v", uts)
	}
}

// TestDeadAndUnborn has a pid namespace whose init was killed, the parent of one
// that is dead as well, and one that is to have its first task yet.
func TestDeadAndUnborn(t *testing.T) {
	asUser(t)
	pid := script(t, `
		exec unshare -U -r --mount sh -ec '
			mount -t tmpfs tmpfs /tmp
			touch /tmp/p
			unshare --pid --fork sh -ec "mount -t proc proc /proc; unshare --pid=/tmp/p --fork true"
			umount /proc
			exec unshare --pid sh -ec "echo ready; read x"'`)
	g := tree(t, pid)
	ps := own(g, topology.PID)
	var states []topology.State
	for _, p := range ps {
		states = append(states, p.State)
	}
	if nsfs.HavePIDFDNamespaces(testProc(t)) != nil {
		t.Skip("this kernel does not open an unborn pid namespace")
	}
	wantComplete(t, g)
	slices.Sort(states)
	if diff := cmp.Diff([]topology.State{topology.Dead, topology.Dead, topology.Unborn}, states); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	for _, p := range ps {
		if p.State == topology.Dead && !p.Parent.External {
			return
		}
	}
	t.Error("no dead one is the child of another")
}

// TestUnbornDescriptor tells an unborn pid namespace from a dead one where nothing
// but a descriptor leads to it.
func TestUnbornDescriptor(t *testing.T) {
	asUser(t)
	task, err := testProc(t).Task(script(t, `exec unshare -U -r --pid sh -ec "echo ready; read x"`))
	if err != nil {
		t.Fatal(err)
	}
	defer task.Close()
	ns, err := task.OpenByPIDFD(nsfs.PIDForChildren)
	if err != nil {
		t.Skip("this kernel does not open an unborn pid namespace:", err)
	}
	defer ns.Close()
	var held []*topology.Namespace
	for _, n := range own(tree(t, os.Getpid()), topology.PID) {
		if len(n.Pins) > 0 && n.Pins[len(n.Pins)-1].FD == ns.FD() {
			held = append(held, n)
		}
	}
	if len(held) != 1 || held[0].State != topology.Unborn {
		t.Errorf("held by the descriptor: %+v", held)
	}
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

// TestTreeTakesInWhatDiesWithIt enters a tree's pid namespace from outside.
func TestTreeTakesInWhatDiesWithIt(t *testing.T) {
	requireRoot(t)
	pid := script(t, `exec unshare --pid --fork sh -ec "echo ready; read x"`)
	guest := script(t, "exec nsenter --pid=/proc/"+itoa(pid)+"/ns/pid_for_children --net=/proc/self/ns/net unshare --ipc sh -ec 'echo ready; read x'")
	g := tree(t, pid)
	wantComplete(t, g)
	if len(own(g, topology.IPC)) != 1 {
		t.Error("the guest's ipc namespace is missing")
	}
	for _, task := range g.Tasks {
		if task.PID == guest {
			t.Error("nsenter itself is in the tree, which outlives it")
		}
	}
	if len(g.Tasks) != 3 {
		t.Errorf("%d tasks, want unshare, its sh and the guest's", len(g.Tasks))
	}
}

func TestBindMounts(t *testing.T) {
	requireRoot(t)
	dir := t.TempDir()
	pid := script(t, `exec unshare --mount sh -ec '
		touch "`+dir+`/a b"
		unshare --net="`+dir+`/a b" true
		echo ready
		read x'`)
	g := tree(t, pid)
	wantComplete(t, g)
	nets, mnts := own(g, topology.Net), own(g, topology.Mnt)
	if len(nets) != 1 || len(mnts) != 1 {
		t.Fatalf("%d net, %d mnt namespaces", len(nets), len(mnts))
	}
	want := []topology.Pin{{Kind: topology.PinBind, Path: dir + "/a b", Mnt: mnts[0]}}
	if len(nets[0].Pins) != 1 || nets[0].Pins[0] != want[0] {
		t.Errorf("pins %+v, want %+v", nets[0].Pins, want)
	}
}

func TestCgroup(t *testing.T) {
	requireRoot(t)
	pid := script(t, `exec unshare --cgroup sh -ec "echo ready; read x"`)
	g := tree(t, pid)
	wantComplete(t, g)
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	want, ok := unifiedPath(b)
	if !ok {
		t.Skip("no cgroup2 hierarchy")
	}
	if c := own(g, topology.Cgroup); len(c) != 1 || c[0].Cgroup == nil || c[0].Cgroup.Root != want {
		t.Errorf("root %+v, want %s", c, want)
	}
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
