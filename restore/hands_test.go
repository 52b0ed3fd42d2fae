//go:build linux && (amd64 || arm64)

package restore_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
)

// fan returns a graph of so many containers, side by side.
func fan(containers int) *topology.Graph {
	g := tower(1, 1)
	host, pid, first := g.Namespaces[0], g.Namespaces[1], g.Namespaces[2]
	g.Namespaces = g.Namespaces[:2]
	for i := range containers {
		state := *first.User
		user := &topology.Namespace{Type: topology.User, Ino: uint64(1000 + i), Owner: host, Parent: host, User: &state}
		g.Namespaces = append(g.Namespaces, user,
			&topology.Namespace{Type: topology.PID, Ino: uint64(2000 + i), Owner: user, Parent: pid},
			&topology.Namespace{Type: topology.UTS, Ino: uint64(3000 + i), Owner: user, UTS: &topology.UTSState{NodeName: fmt.Sprint("box", i)}})
	}
	return g
}

// TestHousehold restores containers without a pid namespace: each is born with all that
// it owns, and stays as descriptors.
func TestHousehold(t *testing.T) {
	const containers = 70
	g := fan(containers)
	g.Namespaces = slices.DeleteFunc(g.Namespaces, func(n *topology.Namespace) bool { return n.Type == topology.PID && !n.External })
	if p := plan(t, g); p.Agents != 1+containers {
		t.Errorf("%d agents for %d containers", p.Agents, containers)
	}
	tree := commit(t, execute(t, g, restore.Options{}))
	isomorphic(t, "what stands", g, dumpTree(t, tree.Keeper.PID))
	alsoAsUser(t)
}

// TestHands restores many containers side by side, which several agents make
// together: what helped is gone when it is done, and left its children to the keeper.
func TestHands(t *testing.T) {
	const containers = 70
	s := execute(t, fan(containers), restore.Options{})
	parents := map[string]int{}
	for _, b := range s.Bindings {
		if b.Image[:4] == "pid:" {
			parents[stat(t, b.PID)[1]]++
		}
	}
	// As an ordinary user the parents of all of them have ended.
	if adopted := parents[fmt.Sprint(s.PID())]; os.Geteuid() == 0 && (adopted == 0 && runtime.NumCPU() > 1 || adopted >= containers) {
		t.Errorf("the keeper %d has %d children of %d containers", s.PID(), adopted, containers)
	}
	tree := commit(t, s)
	if len(tree.Holders) != containers {
		t.Errorf("%d holders, want %d", len(tree.Holders), containers)
	}
	alsoAsUser(t)
}

// TestHandsKilled kills the maker when one of several hands is done, and the others
// go on making: nothing is left.
func TestHandsKilled(t *testing.T) {
	image := saved(t, fan(70))
	for at := range 6 {
		out, err := helper(t, "die after", image, fmt.Sprint(at+1)).CombinedOutput()
		if exit, is := errors.AsType[*exec.ExitError](err); !is || exit.Sys().(syscall.WaitStatus).Signal() != unix.SIGKILL {
			t.Fatalf("killed at %d: %v: %s", at, err, out)
		}
		noChildren(t)
		if _, err := restore.Find("killed"); !errors.Is(err, restore.ErrNotFound) {
			t.Fatalf("killed at %d: a record: %v", at, err)
		}
	}
}
