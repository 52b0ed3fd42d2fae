//go:build linux && (amd64 || arm64)

package restore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/images"
	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
	"github.com/renest/renest/topology/topologytest"
)

// plan plans a graph for the caller.
func plan(t testing.TB, g *topology.Graph) *restore.Plan {
	t.Helper()
	if err := g.Validate(); err != nil {
		t.Fatal(err)
	}
	return planned(t, g)
}

// options are those of the caller.
func options() restore.PlanOptions {
	return restore.PlanOptions{Privileged: os.Geteuid() == 0, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
}

// random returns a random graph that the caller may restore.
func random(seed uint64, o topologytest.Options) *topology.Graph {
	o.Unprivileged, o.UID, o.GID = os.Geteuid() != 0, uint32(os.Geteuid()), uint32(os.Getegid())
	return topologytest.Random(rand.New(rand.NewPCG(seed, 5)), o)
}

// execute restores a graph.
func execute(t testing.TB, g *topology.Graph, o restore.Options) *restore.Standing {
	t.Helper()
	p := plan(t, g)
	s, err := restore.Execute(t.Context(), p, o)
	if err != nil {
		for i, step := range p.Steps {
			t.Logf("%3d %s (%s)", i, step, step.Why)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// commit lets a tree stand, for as long as the test runs.
func commit(t testing.TB, s *restore.Standing) *restore.Tree {
	t.Helper()
	tree, err := s.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := restore.Remove(tree.Name); err != nil && !errors.Is(err, restore.ErrNotFound) {
			t.Error(err)
		}
		noChildren(t)
	})
	onlyThoseThatStay(t, tree)
	return tree
}

// onlyThoseThatStay waits until of the processes that made a tree its keeper and
// its holders alone are left: they are of one session.
func onlyThoseThatStay(t testing.TB, tree *restore.Tree) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		procs, err := filepath.Glob("/proc/[0-9]*")
		if err != nil {
			t.Fatal(err)
		}
		there := 0
		for _, p := range procs {
			pid, _ := strconv.Atoi(filepath.Base(p))
			if sid, err := unix.Getsid(pid); err == nil && sid == tree.Keeper.PID {
				there++
			}
		}
		if there == 1+len(tree.Holders) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d processes, want a keeper and %d holders", there, len(tree.Holders))
		}
	}
}

// TestStates restores what the kernel does not show a dump every time: pid
// namespaces that never had an init, dead ones, and first processes anywhere.
func TestStates(t *testing.T) {
	for seed := range some(8, 16) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			g := random(seed, topologytest.Options{Tasks: true, Dead: seed%2 == 0, Unborn: true})
			scatter(rand.New(rand.NewPCG(seed, 6)), g)
			tree := commit(t, execute(t, g, restore.Options{}))
			checkHolders(t, g, tree.Namespaces)
		})
	}
	alsoAsUser(t)
}

// tower returns a graph of user and pid namespaces nested that deep, side by
// side: every pid namespace belongs to the user namespace of its level.
func tower(users, pids int) *topology.Graph {
	g := &topology.Graph{Header: topology.Header{Complete: true}}
	full := []topology.Extent{{Count: 1 << 16}}
	state := topology.UserState{UIDMap: full, GIDMap: full, Setgroups: "allow"}
	outermost := state
	if uid, gid := os.Geteuid(), os.Getegid(); uid != 0 {
		one := []topology.Extent{{Count: 1}}
		state = topology.UserState{UIDMap: one, GIDMap: one, Setgroups: "deny"}
		outermost = topology.UserState{
			OwnerUID:  uint32(uid),
			UIDMap:    []topology.Extent{{Outside: uint32(uid), Count: 1}},
			GIDMap:    []topology.Extent{{Outside: uint32(gid), Count: 1}},
			Setgroups: "deny",
		}
	}
	user := &topology.Namespace{Type: topology.User, Ino: 1, External: true}
	pid := &topology.Namespace{Type: topology.PID, Ino: 2, External: true, Owner: user}
	g.Namespaces = []*topology.Namespace{user, pid}
	for level := 1; level <= max(users, pids); level++ {
		if level <= users {
			u := state
			if level == 1 {
				u = outermost
			}
			user = &topology.Namespace{Type: topology.User, Ino: uint64(100 + level), Owner: user, Parent: user, User: &u}
			g.Namespaces = append(g.Namespaces, user)
		}
		if level <= pids {
			pid = &topology.Namespace{Type: topology.PID, Ino: uint64(200 + level), Owner: user, Parent: pid}
			g.Namespaces = append(g.Namespaces, pid)
		}
	}
	return g
}

// TestDeepest restores as many levels as the kernel has.
func TestDeepest(t *testing.T) {
	if user, err := os.Readlink("/proc/self/ns/user"); err != nil || user != "user:[4026531837]" {
		t.Skipf("needs the initial user namespace: running in %s, %v", user, err)
	}
	if pid, err := os.Readlink("/proc/self/ns/pid"); err != nil || pid != "pid:[4026531836]" {
		t.Skipf("needs the initial pid namespace: running in %s, %v", pid, err)
	}
	s := execute(t, tower(topology.MaxUserLevel, topology.MaxPIDLevel), restore.Options{})
	levels := map[topology.Type]int{}
	for _, n := range s.Live.Namespaces {
		levels[n.Type] = max(levels[n.Type], n.Level())
	}
	if levels[topology.User] != topology.MaxUserLevel || levels[topology.PID] != topology.MaxPIDLevel {
		t.Errorf("levels %v", levels)
	}
	alsoAsUser(t)
}

// TestTooDeep wants one level more refused before anything is done.
func TestTooDeep(t *testing.T) {
	for _, tt := range []struct {
		name        string
		users, pids int
		want        string
	}{
		{"user", topology.MaxUserLevel + 1, 1, "user:[134]: is 34 levels below user:[1], the kernel nests user namespaces 33 deep"},
		{"pid", 1, topology.MaxPIDLevel + 1, "pid:[233]: is 33 levels below pid:[2], the kernel nests pid namespaces 32 deep"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantError(t, tower(tt.users, tt.pids).Validate(), tt.want)
		})
	}
}

// wantError fails unless err says what is wanted.
func wantError(t testing.TB, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %q", want)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q\nlacks %q", err, w)
		}
	}
}

// TestCanceled cancels a restore after each round, and in its verification.
func TestCanceled(t *testing.T) {
	g := random(4, topologytest.Options{Namespaces: 25, Tasks: true, Dead: true, Unborn: true})
	p := plan(t, g)
	rounds := len(restore.Schedule(p))
	reason := errors.New("enough")
	for at := 1; at <= rounds; at++ {
		ctx, cancel := context.WithCancelCause(t.Context())
		round := 0
		s, err := restore.Execute(ctx, p, restore.Options{Name: "canceled", Progress: func(done, total int) {
			if round++; round == at {
				cancel(reason)
			}
			if round > at {
				t.Errorf("canceled after round %d, went on to %d of %d steps", at, done, total)
			}
		}})
		cancel(nil)
		if !errors.Is(err, reason) {
			t.Errorf("canceled after round %d of %d: %v", at, rounds, err)
		}
		if s != nil {
			_ = s.Close()
		}
		noChildren(t)
	}
	if _, err := restore.Find("canceled"); !errors.Is(err, restore.ErrNotFound) {
		t.Errorf("a record: %v", err)
	}
}

// helper returns a command that runs a helper.
func helper(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), helperVariable+"="+name)
	return cmd
}

// saved writes an image for a helper.
func saved(t testing.TB, g *topology.Graph) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), images.Name)
	if err := images.WriteFile(path, g); err != nil {
		t.Fatal(err)
	}
	return path
}

// dieAfter is a helper that restores an image, and is killed after some progress of
// it, or after the last it commits and is killed then.
func dieAfter(args []string) int {
	die := func() { _ = unix.Kill(os.Getpid(), unix.SIGKILL) }
	at, err := strconv.Atoi(args[1])
	if err == nil {
		err = restoreFile(args[0], restore.Options{Name: "killed", Progress: func(int, int) {
			if at--; at == 0 {
				die()
			}
		}}, func(s *restore.Standing) error {
			if at == 1 { // after verification, before the record
				die()
			}
			_, err := s.Commit(context.Background())
			die()
			return err
		})
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// restoreFile restores an image for a helper, without asking beforehand whether
// that will do.
func restoreFile(path string, o restore.Options, then func(*restore.Standing) error) error {
	g, err := images.ReadFile(path)
	if err != nil {
		return err
	}
	p, err := restore.NewPlan(g, options())
	if err != nil {
		return err
	}
	s, err := restore.Execute(context.Background(), p, o)
	if err != nil {
		return err
	}
	return errors.Join(then(s), s.Close())
}

// TestKilled kills the maker whenever some agent is done with some steps, after the verification, and after
// the record was made: before that nothing is left of the tree, and from then on
// it stands.
func TestKilled(t *testing.T) {
	g := random(9, topologytest.Options{Namespaces: 15, Tasks: true})
	rounds := 0
	whole, err := restore.Execute(t.Context(), plan(t, g), restore.Options{Progress: func(int, int) { rounds++ }})
	if err == nil {
		err = whole.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	image := saved(t, g)
	for at := 1; at <= rounds+2; at++ {
		out, err := helper(t, "die after", image, strconv.Itoa(at)).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != unix.SIGKILL {
			t.Fatalf("killed after round %d of %d: %v: %s", at, rounds, err, out)
		}
		if at <= rounds+1 {
			noChildren(t)
		}
		tree, err := restore.Find("killed")
		if at <= rounds+1 {
			if !errors.Is(err, restore.ErrNotFound) {
				t.Fatalf("killed after round %d of %d: a record: %v", at, rounds, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer restore.Remove("killed") // where what follows fails
		if alive, all := tree.Alive(); alive != all {
			t.Errorf("of %d processes %d are alive", all, alive)
		}
		onlyThoseThatStay(t, tree)
		isomorphic(t, "what stands", g, dumpTree(t, tree.Keeper.PID))
		if err := restore.Remove("killed"); err != nil {
			t.Fatal(err)
		}
		noChildren(t)
	}
	alsoAsUser(t)
}

// holdersGroups is a helper that restores an image and prints the groups of its
// holders.
func holdersGroups(args []string) int {
	err := restoreFile(args[0], restore.Options{}, func(s *restore.Standing) error {
		for _, b := range s.Bindings {
			if !strings.HasPrefix(b.Image, "pid:") {
				continue
			}
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.PID))
			if err != nil {
				return err
			}
			_, groups, _ := strings.Cut(string(text), "\nGroups:")
			groups, _, _ = strings.Cut(groups, "\n")
			fmt.Printf("%q\n", strings.TrimSpace(groups))
		}
		return nil
	})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// TestGroups wants the maker's supplementary groups left outside.
func TestGroups(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: setgroups(2)")
	}
	cmd := helper(t, "groups", saved(t, tower(2, 2)))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Groups: []uint32{7, 8}}}
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "\"\"\n\"\"\n" {
		t.Errorf("groups %s, %v", out, err)
	}
}
