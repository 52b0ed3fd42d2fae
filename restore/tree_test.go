//go:build linux && (amd64 || arm64)

package restore_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
	"github.com/renest/renest/topology/topologytest"
)

// small returns a graph with two holders, and something to keep beside them.
func small() *topology.Graph {
	for seed := uint64(0); ; seed++ {
		g := random(seed, topologytest.Options{Namespaces: 14, Tasks: true})
		p, err := restore.NewPlan(g, options())
		if err != nil || len(p.Holders) == 2 && len(p.Keep) > 2 {
			return g
		}
	}
}

// TestStanding takes a tree through its life: made, committed, found, listed,
// removed.
func TestStanding(t *testing.T) {
	s := execute(t, small(), restore.Options{Name: "alpha"})
	if got, err := restore.List(); err != nil || len(got) > 0 {
		t.Errorf("before the commit: %d trees, %v", len(got), err)
	}
	a := commit(t, s)
	b := commit(t, execute(t, small(), restore.Options{}))
	if err := restore.CheckName(b.Name); err != nil {
		t.Errorf("made up a name: %v", err)
	}
	for _, tree := range []*restore.Tree{a, b} {
		found, err := restore.Find(tree.Name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tree, found); diff != "" {
			t.Errorf("%s (-committed +found):\n%s", tree.Name, diff)
		}
		if alive, all := tree.Alive(); alive != all || all != 1+len(tree.Holders) || len(tree.Holders) == 0 {
			t.Errorf("%s: %d of %d alive, %d holders", tree.Name, alive, all, len(tree.Holders))
		}
		if !tree.Verified || tree.From != "host" {
			t.Errorf("%s: verified %t, from %q", tree.Name, tree.Verified, tree.From)
		}
	}
	listed, err := restore.List()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]*restore.Tree{a, b}, listed); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	checkMode(t, restore.StateDir(), fs.ModeDir|0o700)
	checkMode(t, filepath.Join(restore.StateDir(), "alpha"), 0o600)

	if err := restore.Remove("alpha"); err != nil {
		t.Fatal(err)
	}
	if alive, _ := a.Alive(); alive != 0 {
		t.Errorf("of the tree removed %d are alive", alive)
	}
	if alive, all := b.Alive(); alive != all {
		t.Errorf("of the other tree %d of %d are alive", alive, all)
	}
	if err := restore.Remove("alpha"); !errors.Is(err, restore.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	if err := restore.Remove(b.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(restore.StateDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the last tree left the folder of the records: %v", err)
	}
	alsoAsUser(t)
}

func checkMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != want {
		t.Errorf("%s: mode %v, want %v", path, info.Mode(), want)
	}
}

// TestCommittedCommand wants no command run where nobody is left to run it.
func TestCommittedCommand(t *testing.T) {
	s := execute(t, small(), restore.Options{Stdio: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	commit(t, s)
	if _, err := s.Command(t.Context(), "/bin/true", nil, nil); err == nil {
		t.Error("a command ran in a tree that was committed")
	}
}

// TestHalfDead removes a tree that some of its processes have left.
func TestHalfDead(t *testing.T) {
	for _, tt := range []struct {
		name string
		dead func(*restore.Tree) restore.Process
	}{
		{"keeper", func(t *restore.Tree) restore.Process { return t.Keeper }},
		{"holder", func(t *restore.Tree) restore.Process { return t.Holders[0] }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tree := commit(t, execute(t, small(), restore.Options{Name: "half"}))
			kill(t, tt.dead(tree))
			alive, all := tree.Alive()
			if alive == all || alive == 0 {
				t.Errorf("%d of %d are alive", alive, all)
			}
			_, err := restore.Execute(t.Context(), plan(t, small()), restore.Options{Name: "half"})
			wantError(t, err, "the name half is in use", "renest rm half")
			if err := restore.Remove("half"); err != nil {
				t.Fatal(err)
			}
			noChildren(t)
		})
	}
}

// kill kills a process of a tree, and waits until it has ended.
func kill(t *testing.T, p restore.Process) {
	t.Helper()
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := nsfs.End([]int{fd}, time.Minute); err != nil {
		t.Fatalf("process %d: %v", p.PID, err)
	}
}

// TestRemoveEntered removes a tree that others have entered: who lives in its
// pid namespaces ends with it.
func TestRemoveEntered(t *testing.T) {
	tree := commit(t, execute(t, small(), restore.Options{}))
	proc, err := os.Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	crew, err := agent.Start(t.Context(), agent.Options{Proc: proc, Name: "renest: guest"})
	if err != nil {
		t.Fatal(err)
	}
	defer crew.Close()
	var enter agent.Program
	for _, link := range []string{"user", "pid"} {
		path := fmt.Sprintf("%d/ns/%s", tree.Holders[0].PID, link)
		fd := enter.Call("open "+path, unix.SYS_OPENAT, agent.Int(agent.ProcFD), agent.String(path), agent.Int(unix.O_RDONLY|unix.O_CLOEXEC))
		enter.Call("enter "+path, unix.SYS_SETNS, fd.Ret(), agent.Int(0))
		enter.Call("close", unix.SYS_CLOSE, fd.Ret())
	}
	if err := crew.Root().Run(t.Context(), &enter); err != nil {
		t.Fatal(err)
	}
	guest, err := crew.Root().Fork(t.Context(), "enter", agent.ForkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := restore.Remove(tree.Name); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(guest.PID(), 0); err != unix.ESRCH {
		t.Errorf("the guest is still there: %v", err)
	}
	if err := crew.Root().Run(t.Context(), new(agent.Program)); err != nil {
		t.Errorf("who was not in it: %v", err)
	}
	alsoAsUser(t)
}

// TestStale takes the name of a tree whose processes have all gone.
func TestStale(t *testing.T) {
	tree := commit(t, execute(t, small(), restore.Options{Name: "stale"}))
	for _, p := range append([]restore.Process{tree.Keeper}, tree.Holders...) {
		if unix.Kill(p.PID, 0) == nil { // a holder may have died with another
			kill(t, p)
		}
	}
	if alive, all := tree.Alive(); alive != 0 {
		t.Errorf("of %d processes %d are alive", all, alive)
	}
	noChildren(t)
	next := commit(t, execute(t, small(), restore.Options{Name: "stale"}))
	found, err := restore.Find("stale")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(next, found); diff != "" {
		t.Errorf("the record (-want +got):\n%s", diff)
	}
}
