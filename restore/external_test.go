//go:build linux && (amd64 || arm64)

package restore_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/restore"
	"github.com/renest/renest/test/require"
	"github.com/renest/renest/topology"
)

// container returns a graph of what a container is: a user and a pid namespace,
// and a first process that is in them and in the given others.
func container(others ...*topology.Namespace) *topology.Graph {
	user, pid, net := outer()
	ids := []topology.Extent{{Outside: 100000, Count: 65536}}
	u := below(user, 10, topology.UserState{UIDMap: ids, GIDMap: ids, Setgroups: "allow"})
	p := &topology.Namespace{Type: topology.PID, Ino: 11, Owner: u, Parent: pid}
	task := &topology.Task{PID: 70, TID: 70, NSPID: []int{70, 1}, Comm: "init"}
	task.Namespaces[topology.InUser], task.Namespaces[topology.InPID] = u, p
	task.Namespaces[topology.InNet] = net
	g := graphOf(user, pid, net, u, p)
	for _, n := range others {
		if n.Owner == nil && !n.External {
			n.Owner = u
		}
		task.Namespaces[topology.LinkOf(n.Type)] = n
		g.Namespaces = append(g.Namespaces, n)
	}
	g.Tasks = []*topology.Task{task}
	return g
}

// neighbour starts a process in new namespaces of its own, and returns it.
func neighbour(t *testing.T, flags uintptr) int {
	t.Helper()
	cmd := helper(t, "idle")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: unix.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	return cmd.Process.Pid
}

func link(t *testing.T, pid int, name string) string {
	t.Helper()
	to, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, name))
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// TestExternal has the first process of a container in namespaces of a process
// that is there: one that was external, and one that the image could make.
func TestExternal(t *testing.T) {
	require.Root(t)
	next := neighbour(t, unix.CLONE_NEWNET|unix.CLONE_NEWUTS|unix.CLONE_NEWIPC)
	uts := &topology.Namespace{Type: topology.UTS, Ino: 12, UTS: &topology.UTSState{NodeName: "ship"}}
	ipc := &topology.Namespace{Type: topology.IPC, Ino: 13}
	g := container(uts, ipc)
	host, err := restore.ReadHost()
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{fmt.Sprintf("%d/net", next), fmt.Sprintf("/proc/%d/ns/net", next), link(t, next, "net")} {
		o := host.PlanOptions()
		o.External = map[string]string{"net:[3]": ref, "uts:[12]": fmt.Sprintf("%d/uts", next)}
		p, err := restore.NewPlan(g, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := host.Resolve(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		if err := restore.Preflight(p, host); err != nil {
			t.Fatal(err)
		}
		s, err := restore.Execute(t.Context(), p, restore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		tree, err := s.Commit(t.Context())
		if err := errors.Join(err, s.Close()); err != nil {
			t.Fatal(err)
		}
		holder := tree.Innermost
		for _, name := range []string{"net", "uts"} {
			if got, want := link(t, holder, name), link(t, next, name); got != want {
				t.Errorf("%s: the holder is in %s, not in %s", ref, got, want)
			}
		}
		if got := link(t, holder, "ipc"); got == link(t, next, "ipc") || got == link(t, os.Getpid(), "ipc") {
			t.Errorf("the holder is in %s, which is not its own", got)
		}
		if len(tree.Namespaces) != 3 {
			t.Errorf("%d namespaces were made, want 3", len(tree.Namespaces))
		}
		if err := restore.Remove(tree.Name); err != nil {
			t.Fatal(err)
		}
	}
}

// TestExternalRefused has references that lead nowhere, or elsewhere: seen
// beforehand, and by Execute on its own.
func TestExternalRefused(t *testing.T) {
	require.Root(t)
	host, err := restore.ReadHost()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ ref, want string }{
		{"self/uts", "is no net namespace"},
		{"/dev/null", "not a namespace"},
		{"/proc/self/ns/nowhere", "no such file"},
		{"net:[17]", "there is no net:[17] in sight"},
		{"4194304/net", "there is no process"},
		{"no reference", "none of"},
	} {
		o := host.PlanOptions()
		o.External = map[string]string{"net:[3]": tt.ref}
		p, err := restore.NewPlan(container(), o)
		if err != nil {
			t.Fatal(err)
		}
		if err := host.Resolve(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		wantError(t, restore.Preflight(p, host), "external net:[3]="+tt.ref, tt.want)
		_, err = restore.Execute(t.Context(), p, restore.Options{})
		wantError(t, err, "external net:[3]="+tt.ref, tt.want)
		noChildren(t)
	}
}
