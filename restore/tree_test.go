//go:build linux && (amd64 || arm64)

package restore_test

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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

// TestNameInUse has two trees want one name.
func TestNameInUse(t *testing.T) {
	first := execute(t, small(), restore.Options{Name: "same"})
	refused := func(want ...string) {
		t.Helper()
		rounds := 0
		_, err := restore.Execute(t.Context(), plan(t, small()), restore.Options{Name: "same", Progress: func(int, int) { rounds++ }})
		wantError(t, err, want...)
		if rounds != 0 {
			t.Errorf("refused after %d rounds", rounds)
		}
	}
	refused("the name same is in use", "choose another")
	wantError(t, restore.Remove("same"), fmt.Sprintf("process %d is restoring it", os.Getpid()))
	tree := commit(t, first)
	refused("the name same is in use", "renest rm same")
	if alive, all := tree.Alive(); alive != all {
		t.Errorf("of the first %d of %d are alive", alive, all)
	}
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "web-1": true, "A.b_c": true, strings.Repeat("n", 64): true,
		"": false, ".": false, "..": false, "1": false, "4711": false, "-d": false, ".hidden": false, "a/b": false,
		"../x": false, "a b": false, "ä": false, "a\n": false, "a\x00": false, strings.Repeat("n", 65): false,
	} {
		if err := restore.CheckName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
		if ok {
			continue
		}
		if _, err := restore.Find(name); err == nil || errors.Is(err, restore.ErrNotFound) {
			t.Errorf("find %q: %v", name, err)
		}
		if err := restore.Remove(name); err == nil || errors.Is(err, restore.ErrNotFound) {
			t.Errorf("remove %q: %v", name, err)
		}
		if name == "" {
			continue // a name is made up
		}
		if s, err := restore.Execute(t.Context(), plan(t, small()), restore.Options{Name: name}); err == nil {
			t.Errorf("restored as %q", name)
			_ = s.Close()
		}
	}
}

// TestNotFound has names that are good and nobody's.
func TestNotFound(t *testing.T) {
	if _, err := restore.Find("nobody"); !errors.Is(err, restore.ErrNotFound) {
		t.Errorf("find: %v", err)
	}
	if err := restore.Remove("nobody"); !errors.Is(err, restore.ErrNotFound) {
		t.Errorf("remove: %v", err)
	}
	if list, err := restore.List(); err != nil || len(list) > 0 {
		t.Errorf("list: %v, %v", list, err)
	}
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

// idle is a helper that says when it is there and waits to be killed.
func idle([]string) int {
	fmt.Println("ready")
	time.Sleep(time.Hour)
	return 0
}

// TestNumbersComeAgain has records whose numbers are by now those of processes
// that have nothing to do with the tree: no one touches them.
func TestNumbersComeAgain(t *testing.T) {
	tree := commit(t, execute(t, small(), restore.Options{Name: "first"}))
	stranger := startStranger(t, tree.Keeper.Start)
	text, err := os.ReadFile(filepath.Join(restore.StateDir(), "first"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, from, to string }{
		{"later", fmt.Sprintf(`"pid":%d,`, tree.Keeper.PID), fmt.Sprintf(`"pid":%d,`, stranger)},
		{"boot", tree.BootID, "00000000-0000-0000-0000-000000000000"},
	} {
		record := strings.ReplaceAll(string(text), tt.from, tt.to)
		if tt.name == "later" { // a record of nothing but the keeper
			record = strings.ReplaceAll(record, `"holders":[`, `"once":[`)
		}
		path := filepath.Join(restore.StateDir(), tt.name)
		if err := os.WriteFile(path, []byte(record), 0o600); err != nil {
			t.Fatal(err)
		}
		found, err := restore.Find(tt.name)
		if err != nil {
			t.Fatal(err)
		}
		if alive, _ := found.Alive(); alive != 0 {
			t.Errorf("%s: %d are alive", tt.name, alive)
		}
		if err := restore.Remove(tt.name); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if alive, all := tree.Alive(); alive != all {
		t.Errorf("of the true tree %d of %d are alive", alive, all)
	}
	if stat(t, stranger)[0] == "Z" {
		t.Error("the stranger was killed")
	}
}

// startStranger starts a process in another clock tick than the one given.
func startStranger(t *testing.T, tick uint64) int {
	t.Helper()
	for {
		cmd := helper(t, "idle")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		end := func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		_, err = bufio.NewReader(out).ReadString('\n')
		if err == nil && stat(t, cmd.Process.Pid)[19] != fmt.Sprint(tick) {
			t.Cleanup(end)
			return cmd.Process.Pid
		}
		end()
		if err != nil {
			t.Fatal(err)
		}
	}
}

// stat returns the fields of /proc/PID/stat from the state on, the third.
func stat(t *testing.T, pid int) []string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return strings.Fields(rest)
}

// TestDamagedRecord has a record that cannot be read among others that can.
func TestDamagedRecord(t *testing.T) {
	tree := commit(t, execute(t, small(), restore.Options{Name: "whole"}))
	for _, text := range []string{"", "{", `{"keeper": 7}`, `[]`} {
		path := filepath.Join(restore.StateDir(), "damaged")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := restore.Find("damaged")
		wantError(t, err, path)
		list, err := restore.List()
		wantError(t, err, path)
		if len(list) != 1 || list[0].Name != "whole" {
			t.Errorf("listed %v", list)
		}
		_, err = restore.Execute(t.Context(), plan(t, small()), restore.Options{Name: "damaged"})
		wantError(t, err, path)
		wantError(t, restore.Remove("damaged"), path)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if alive, all := tree.Alive(); alive != all {
		t.Errorf("of the whole tree %d of %d are alive", alive, all)
	}
}

// TestStateDir wants records kept only where nobody else can write them: they
// say which processes are killed.
func TestStateDir(t *testing.T) {
	dir := restore.StateDir()
	for _, tt := range []struct {
		name string
		make func() error
		root bool
	}{
		{"others may write", func() error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777)) }, false},
		{"the group may write", func() error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o770)) }, false},
		{"another's", func() error { return errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, nobody, nobody)) }, true},
		{"a link", func() error { return os.Symlink(t.TempDir(), dir) }, false},
		{"a file", func() error { return os.WriteFile(dir, nil, 0o600) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.root && os.Geteuid() != 0 {
				t.Skip("needs root: chown")
			}
			if err := tt.make(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := os.Remove(dir); err != nil {
					t.Error(err)
				}
			}()
			_, err := restore.Find("safe")
			wantError(t, err, dir+" is not a folder that only you can write to")
			wantError(t, restore.Remove("safe"), dir+" is not a folder that only you can write to")
			_, err = restore.Execute(t.Context(), plan(t, small()), restore.Options{Name: "safe"})
			wantError(t, err, dir+" is not a folder that only you can write to")
			noChildren(t)
		})
	}
	alsoAsUser(t)
}

// TestStateDirOfUsers looks where an ordinary user's records are.
func TestStateDirOfUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		for _, tt := range []struct{ runtime, want string }{
			{"/run/user/7", "/run/user/7/renest"},
			{"relative", fmt.Sprintf("/var/tmp/renest-%d", os.Geteuid())},
			{"", fmt.Sprintf("/var/tmp/renest-%d", os.Geteuid())},
		} {
			t.Setenv("XDG_RUNTIME_DIR", tt.runtime)
			t.Setenv("TMPDIR", "/var/tmp")
			if got := restore.StateDir(); got != tt.want {
				t.Errorf("XDG_RUNTIME_DIR=%q: %s, want %s", tt.runtime, got, tt.want)
			}
		}
	} else if got := restore.StateDir(); got != "/run/renest" {
		t.Errorf("root's: %s", got)
	}
	alsoAsUser(t)
}
