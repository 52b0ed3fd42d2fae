//go:build linux && (amd64 || arm64)

package restore_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/renest/renest/restore"
	"github.com/renest/renest/test/require"
	"github.com/renest/renest/topology"
)

// lend lends ids to the ordinary user: whoever runs in this mount namespace reads
// the given lines in /etc/subuid and /etc/subgid.
func lend(t *testing.T, lines string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sub")
	if err := os.WriteFile(file, []byte(lines), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/etc/subuid", "/etc/subgid"} {
		if err := unix.Mount(file, path, "", unix.MS_BIND, ""); err != nil {
			t.Fatalf("bind to %s: %v", path, err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(path, 0); err != nil {
				t.Error(err)
			}
		})
	}
}

// asLent runs the test again as an ordinary user to whom ids are lent, and
// reports false there.
func asLent(t *testing.T, lines string) bool {
	t.Helper()
	if os.Getenv(halfVariable) != "" {
		return false
	}
	require.Root(t)
	require.Command(t, "newuidmap", "uidmap")
	require.Command(t, "newgidmap", "uidmap")
	lend(t, lines)
	again(t, nobody)
	return true
}

// TestLentIDs restores, as an ordinary user, trees that map ids which are lent to
// it: exactly, and moved to where they are.
func TestLentIDs(t *testing.T) {
	// The second line adjoins the first, the third is another's.
	if asLent(t, "nobody:300000:30000\n65534:330000:40000\nroot:100000:65536\n") {
		return
	}
	type extents = []topology.Extent
	host, err := restore.ReadHost()
	if err != nil {
		t.Fatal(err)
	}
	want := []restore.IDRange{{First: 300000, Count: 70000}}
	if diff := cmp.Diff([][]restore.IDRange{want, want}, [][]restore.IDRange{host.SubUIDs, host.SubGIDs}); diff != "" {
		t.Fatalf("what is lent (-want +got):\n%s", diff)
	}
	user, pid, _ := outer()
	tree := func(state topology.UserState) *topology.Graph {
		u := below(user, 10, state)
		in := below(u, 11, topology.UserState{OwnerUID: 5, UIDMap: extents{{Outside: 3, Count: 4000}}, GIDMap: one(0, 7), Setgroups: state.Setgroups})
		return graphOf(user, pid, u, in,
			&topology.Namespace{Type: topology.PID, Ino: 12, Owner: in, Parent: pid},
			&topology.Namespace{Type: topology.UTS, Ino: 13, Owner: u, UTS: &topology.UTSState{NodeName: "ship"}})
	}
	ids := func(first uint32) extents { return extents{{Outside: first, Count: 65536}} }
	mixed := func(own uint32) extents {
		return extents{{Outside: own, Count: 1}, {Inside: 1, Outside: 304000, Count: 65536}}
	}
	for _, tt := range []struct {
		name  string
		state topology.UserState
		move  string
		maps  string
		err   string
	}{
		{
			name:  "exactly",
			state: topology.UserState{OwnerUID: nobody, UIDMap: ids(304000), GIDMap: ids(304000), Setgroups: "allow"},
			maps:  "0 304000 65536",
		},
		{
			name:  "with its own",
			state: topology.UserState{OwnerUID: nobody, UIDMap: mixed(nobody), GIDMap: mixed(nobody), Setgroups: "allow"},
			maps:  "0 65534 1 1 304000 65536",
		},
		{
			name:  "setgroups denied",
			state: topology.UserState{OwnerUID: nobody, UIDMap: ids(304000), GIDMap: ids(304000), Setgroups: "deny"},
			maps:  "0 304000 65536",
		},
		{
			name:  "root's, moved",
			state: topology.UserState{UIDMap: ids(100000), GIDMap: ids(100000), Setgroups: "allow"},
			move:  "301000:65536",
			maps:  "0 301000 65536",
		},
		{
			name:  "another's, moved",
			state: topology.UserState{OwnerUID: 1000, UIDMap: extents{{Outside: 1000, Count: 1}, {Inside: 1, Outside: 100000, Count: 65536}}, GIDMap: extents{{Outside: 985, Count: 1}, {Inside: 1, Outside: 100000, Count: 65536}}, Setgroups: "allow"},
			move:  "301000:65536",
			maps:  "0 65534 1 1 301000 65536",
		},
		{
			name:  "not lent",
			state: topology.UserState{OwnerUID: nobody, UIDMap: ids(100000), GIDMap: ids(304000), Setgroups: "allow"},
			err:   "user:[10] maps uids 0 100000 65536, which are not yours (you have 65534 and 300000:70000)",
		},
		{
			name:  "partly lent",
			state: topology.UserState{OwnerUID: nobody, UIDMap: ids(304000), GIDMap: ids(304465), Setgroups: "allow"},
			err:   "user:[10] maps gids 0 304465 65536, which are not yours (you have 65534 and 300000:70000)",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := host.PlanOptions()
			if tt.move != "" {
				r, err := restore.ParseIDRange(tt.move)
				if err != nil {
					t.Fatal(err)
				}
				o.IDs = &r
			}
			p, err := restore.NewPlan(tree(tt.state), o)
			if err != nil {
				t.Fatal(err)
			}
			refused := restore.Preflight(p, host)
			s, err := restore.Execute(t.Context(), p, restore.Options{})
			if tt.err != "" {
				wantError(t, refused, tt.err)
				// What the program says by itself, had nobody looked beforehand.
				wantError(t, err, "of user:[10]: new", "not allowed")
				noChildren(t)
				return
			}
			if err != nil || refused != nil {
				t.Fatalf("%v, beforehand %v", err, refused)
			}
			tree := commit(t, s)
			checkMap(t, tree, tt.maps)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// checkMap compares the maps of the outermost user namespace, as the user sees
// them.
func checkMap(t *testing.T, tree *restore.Tree, want string) {
	t.Helper()
	for _, b := range tree.Namespaces {
		if b.Image != "user:[10]" {
			continue
		}
		out, err := exec.Command("nsenter", "--user="+b.Path, "--preserve-credentials", "cat", "/proc/self/uid_map").CombinedOutput()
		if got := strings.Join(strings.Fields(string(out)), " "); err != nil || got != want {
			t.Errorf("uid_map of %s: %q, %v, want %q", b.Path, got, err, want)
		}
	}
}

// TestNoHelpers has an ordinary user to whom ids are lent, and nothing to map
// them with.
func TestNoHelpers(t *testing.T) {
	user, _, _ := outer()
	ids := []topology.Extent{{Outside: 300000, Count: 5}}
	g := graphOf(user, below(user, 10, topology.UserState{OwnerUID: simUID, UIDMap: ids, GIDMap: ids, Setgroups: "deny"}))
	host := ordinary()
	host.SubUIDs = []restore.IDRange{{First: 1, Count: 2}, {First: 300000, Count: 5}}
	host.SubGIDs = host.SubUIDs
	p, err := restore.NewPlan(g, host.PlanOptions())
	if err != nil {
		t.Fatal(err)
	}
	if err := restore.Preflight(p, host); err != nil {
		t.Errorf("refused: %v", err)
	}
	host.Helpers = fmt.Errorf("newuidmap is missing")
	want := []string{
		"user:[10] maps uids that are lent to you: newuidmap is missing",
		"user:[10] maps gids that are lent to you: newuidmap is missing",
	}
	if diff := cmp.Diff(want, reasons(restore.Preflight(p, host))); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
}
