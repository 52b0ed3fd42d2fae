package criu

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/renest/renest/topology"
)

// nest is a graph in the making: a container "up" whose init is 10, in it the tree of
// 20, a container too, and in that one 30.
type nest struct {
	g       *topology.Graph
	parents map[int]int
	next    uint64
	host    [topology.Time + 1]*topology.Namespace
}

func newNest() *nest {
	n := &nest{g: &topology.Graph{Header: topology.Header{Root: 20}}, parents: map[int]int{}}
	for _, t := range topology.Types {
		n.host[t] = n.add(t, nil)
		n.host[t].External = true
	}
	for _, t := range topology.Types[1:] {
		n.host[t].Owner = n.host[topology.User]
	}
	return n
}

func (n *nest) add(t topology.Type, owner *topology.Namespace) *topology.Namespace {
	n.next++
	ns := &topology.Namespace{Type: t, Ino: n.next, Owner: owner}
	n.g.Namespaces = append(n.g.Namespaces, ns)
	return ns
}

// container adds a process in new namespaces of the given types, the child of parent.
func (n *nest) container(pid, parent int, types ...topology.Type) *topology.Task {
	t := n.task(pid, parent)
	for _, typ := range types {
		l := topology.LinkOf(typ)
		up := t.Namespaces[l]
		t.Namespaces[l] = n.add(typ, t.Namespaces[topology.InUser])
		if typ.HasParent() {
			t.Namespaces[l].Parent = up
		}
		if typ == topology.User {
			t.Namespaces[l].Owner = up
		}
		if typ == topology.PID {
			t.NSPID = append(t.NSPID, 1)
		}
	}
	t.Namespaces[topology.PIDForChildren] = t.Namespaces[topology.InPID]
	return t
}

// task adds a process that is where its parent is.
func (n *nest) task(pid, parent int) *topology.Task {
	t := &topology.Task{PID: pid, TID: pid, Comm: "x", NSPID: []int{pid}}
	n.parents[pid] = parent
	for _, up := range n.g.Tasks {
		if up.PID == parent {
			t.Namespaces = up.Namespaces
			for range up.NSPID[1:] {
				t.NSPID = append(t.NSPID, pid)
			}
			n.g.Tasks = append(n.g.Tasks, t)
			return t
		}
	}
	for _, typ := range topology.Types {
		t.Namespaces[topology.LinkOf(typ)] = n.host[typ]
	}
	t.Namespaces[topology.PIDForChildren], t.Namespaces[topology.TimeForChildren] = n.host[topology.PID], n.host[topology.Time]
	n.g.Tasks = append(n.g.Tasks, t)
	return t
}

func all() []topology.Type {
	return []topology.Type{topology.User, topology.Mnt, topology.UTS, topology.IPC, topology.PID, topology.Net}
}

func (n *nest) standard() {
	n.container(10, 1, all()...)
	n.container(20, 10, all()...)
	n.task(21, 20)
	n.container(30, 20, all()...)
	n.task(31, 30)
}

func TestSplit(t *testing.T) {
	n := newNest()
	n.standard()
	layers, err := Split(n.g, n.parents)
	if err != nil {
		t.Fatal(err)
	}
	var got [][]int
	for _, l := range layers {
		var pids []int
		for _, task := range l.Tasks {
			pids = append(pids, task.PID)
		}
		got = append(got, pids)
		if len(l.Join)+len(l.Outside) > 0 {
			t.Errorf("layer of %d joins %v, has outside %v", l.Root.PID, l.Join, l.Outside)
		}
	}
	if diff := cmp.Diff([][]int{{20, 21}, {30, 31}}, got); diff != "" {
		t.Errorf("pids by layer (-want +got)\n%s", diff)
	}
	if layers[1].Above != layers[0] {
		t.Error("the second layer is not below the first")
	}
}

// TestSplitParent has the first process of an inner container be the child of a task
// that is not the init of the outer one, and has begun to bear its children inside.
func TestSplitParent(t *testing.T) {
	n := newNest()
	n.standard()
	inner := n.container(40, 21, topology.PID, topology.Mnt, topology.UTS, topology.IPC, topology.Net)
	shim := n.g.Tasks[2]
	shim.Namespaces[topology.PIDForChildren] = inner.Namespaces[topology.InPID]
	layers, err := Split(n.g, n.parents)
	if err != nil {
		t.Fatal(err)
	}
	var got []*topology.Task
	for _, l := range layers {
		got = append(got, l.Parent)
	}
	if want := []*topology.Task{nil, nil, shim}; !slices.Equal(want, got) {
		t.Errorf("parents %v, want %v", got, want)
	}
}

// TestSplitApart has a process in namespaces of its own, with a thread.
func TestSplitApart(t *testing.T) {
	n := newNest()
	n.standard()
	apart := n.container(22, 20, topology.UTS, topology.IPC, topology.Cgroup, topology.User)
	thread := n.task(23, 22)
	thread.PID = 22
	layers, err := Split(n.g, n.parents)
	if err != nil {
		t.Fatal(err)
	}
	if want := []*topology.Task{apart}; !slices.Equal(want, layers[0].Apart) {
		t.Errorf("apart %v, want %v", layers[0].Apart, want)
	}
	thread.Namespaces[topology.InUTS] = layers[0].In(topology.UTS)
	if _, err := Split(n.g, n.parents); err == nil || !strings.Contains(err.Error(), "restores all threads where the first one is") {
		t.Errorf("its thread is with the root: %v", err)
	}
}

func TestSplitJoins(t *testing.T) {
	n := newNest()
	up := n.container(10, 1, all()...)
	leaf := n.container(20, 10, topology.User, topology.PID, topology.Mnt, topology.Cgroup)
	owned := n.add(topology.User, leaf.Namespaces[topology.InUser])
	owned.Parent = owned.Owner
	other := n.task(21, 20)
	other.Namespaces[topology.InNet] = n.add(topology.Net, owned)
	// The root needs a net namespace of its own for that.
	leaf.Namespaces[topology.InNet] = n.add(topology.Net, leaf.Namespaces[topology.InUser])
	layers, err := Split(n.g, n.parents)
	if err != nil {
		t.Fatal(err)
	}
	l := layers[0]
	want := []*topology.Namespace{
		up.Namespaces[topology.InUTS], up.Namespaces[topology.InIPC], leaf.Namespaces[topology.InCgroup],
	}
	if !slices.Equal(want, l.Join) {
		t.Errorf("joins %v, want %v", l.Join, want)
	}
	if want := []*topology.Namespace{other.Namespaces[topology.InNet]}; !slices.Equal(want, l.Outside) {
		t.Errorf("outside %v, want %v", l.Outside, want)
	}
}

func TestSplitRefuses(t *testing.T) {
	tests := map[string]struct {
		build func(n *nest)
		want  string
	}{
		"no root": {func(n *nest) { n.g.Header.Root = 99 }, "has no task 99"},
		"nested uts of the host": {func(n *nest) {
			n.task(22, 20).Namespaces[topology.InUTS] = n.add(topology.UTS, n.host[topology.User])
		}, "Can't dump nested uts namespace for 22"},
		"nested user of the host": {func(n *nest) {
			n.task(22, 20).Namespaces[topology.InUser] = n.add(topology.User, n.host[topology.User])
		}, "Can't dump nested user namespace for 22"},
		"init of another's": {func(n *nest) {
			n.container(40, 20, topology.PID, topology.User, topology.Mnt, topology.UTS, topology.IPC, topology.Net)
		}, "which belongs to another user namespace than it is in"},
		"nested user of a zombie": {func(n *nest) {
			t := n.container(22, 20, topology.User)
			t.Namespaces = [topology.NumLinks]*topology.Namespace{topology.InUser: t.Namespaces[topology.InUser], topology.InPID: t.Namespaces[topology.InPID]}
		}, "Can't dump nested user namespace for 22"},
		"thread elsewhere":    {func(n *nest) { n.container(22, 20, topology.UTS).PID = 21 }, "restores all threads where the first one is"},
		"parent is far above": {func(n *nest) { n.container(32, 31, all()...); n.parents[32] = 21 }, "its parent, pid 21 (x), is not in the pid namespace above"},
		"parent is shut out": {func(n *nest) {
			n.container(40, 21, topology.User, topology.PID, topology.Mnt, topology.UTS, topology.IPC).Namespaces[topology.InNet] = n.host[topology.Net]
		}, "which its parent, pid 21 (x), has no rights to enter"},
		"children elsewhere":  {func(n *nest) { n.task(22, 20).Namespaces[topology.PIDForChildren] = n.add(topology.PID, nil) }, "CRIU does not keep that"},
		"strange mounts":      {func(n *nest) { n.task(22, 20).Namespaces[topology.InMnt] = n.add(topology.Mnt, n.host[topology.User]) }, "belongs to another user namespace"},
		"the host's net":      {func(n *nest) { n.task(22, 20).Namespaces[topology.InNet] = n.host[topology.Net] }, "in the host's net"},
		"joined from outside": {func(n *nest) { n.task(22, 20); n.parents[22] = 1 }, "does not descend from its root"},
		"parents in a circle": {func(n *nest) { n.task(22, 20); n.task(23, 22); n.parents[22] = 23 }, "does not descend from its root"},
		"a descriptor": {func(n *nest) {
			ns := n.add(topology.UTS, n.host[topology.User])
			ns.Pins = []topology.Pin{{Kind: topology.PinFD, PID: 21, FD: 3}}
		}, "No NS ID with kid"},
		"shared mounts": {func(n *nest) {
			n.g.Tasks[1].Namespaces[topology.InMnt] = n.g.Tasks[0].Namespaces[topology.InMnt]
		}, "give it a mount namespace of its own"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			n := newNest()
			n.standard()
			tt.build(n)
			_, err := Split(n.g, n.parents)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
	t.Run("destructive", func(t *testing.T) {
		n := newNest()
		n.container(20, 1, topology.PID, topology.Mnt)
		n.container(21, 20, topology.Net)
		if _, err := Split(n.g, n.parents); err == nil || !strings.Contains(err.Error(), "Can't restore sub-task in NS") {
			t.Errorf("error %v, want the refusal of a destructive dump", err)
		}
	})
}
