//go:build linux && (amd64 || arm64)

package restore_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/restore"
	"github.com/renest/renest/test/require"
	"github.com/renest/renest/topology"
)

// cgroup2 returns where the unified hierarchy is mounted.
func cgroup2(t *testing.T) string {
	t.Helper()
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var st unix.Statfs_t
		if unix.Statfs(dir, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
			return dir
		}
	}
	require.That(t, "cgroup2", errors.New("is mounted nowhere"))
	return ""
}

// testCgroup makes a cgroup for the test.
func testCgroup(t *testing.T) string {
	t.Helper()
	there, err := os.MkdirTemp(cgroup2(t), "renest-test-") //nolint:usetesting // a cgroup
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(there); err != nil {
			t.Error(err)
		}
	})
	return there
}

// rooted has cgroup namespaces of these roots, in turn the host's and another owner's.
func rooted(roots ...string) *topology.Graph {
	g := box(&topology.Namespace{Type: topology.UTS})
	for i, root := range roots {
		owner := g.Namespaces[0]
		if i%2 == 1 {
			owner = g.Namespaces[2]
		}
		g.Namespaces = append(g.Namespaces, &topology.Namespace{
			Type: topology.Cgroup, Ino: uint64(20 + i), Owner: owner, Cgroup: &topology.CgroupState{Root: root},
		})
	}
	return g
}

// TestCgroupRoot roots cgroup namespaces of the host and of another owner where they
// were, in cgroups that are there and in some that are made, and removes those.
func TestCgroupRoot(t *testing.T) {
	require.Root(t)
	there := testCgroup(t)
	base := "/" + filepath.Base(there)
	roots := []string{base, base + "/a/b", base + "/a", "/"}
	g := rooted(roots...)
	made := filepath.Join(there, "a", "b")

	s := execute(t, g, restore.Options{})
	if len(s.Notes) != 2 || !strings.Contains(s.Notes[0], "this host has no cgroup") {
		t.Errorf("notes: %q", s.Notes)
	}
	if _, err := os.Stat(made); err == nil {
		t.Errorf("%s was made, and nobody asked for it", made)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	for _, stay := range []bool{false, true} {
		s := execute(t, g, restore.Options{MakeCgroups: true})
		if len(s.Notes) > 0 {
			t.Errorf("notes: %q", s.Notes)
		}
		live := dumpTree(t, s.PID())
		for i, root := range roots {
			if got := counterpart(t, s, live, g.Namespaces[4+i]).Cgroup; got == nil || got.Root != root {
				t.Errorf("a cgroup namespace is rooted at %v, not at %s", got, root)
			}
		}
		if stay {
			tree := commit(t, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(made); err != nil {
				t.Error(err)
			}
			if err := restore.Remove(tree.Name); err != nil {
				t.Fatal(err)
			}
		} else if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Dir(made)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", filepath.Dir(made), err)
		}
	}
}

// TestCgroupOutside makes no folder but below the root of cgroups.
func TestCgroupOutside(t *testing.T) {
	require.Root(t)
	cgroup2(t)
	dir := t.TempDir()
	up := strings.Repeat("/..", 10)
	for _, root := range []string{"/x" + up + dir + "/made", up + dir + "/made", "/x/../y"} {
		s := execute(t, rooted(root), restore.Options{MakeCgroups: true})
		if len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "no path below the root of cgroups") {
			t.Errorf("%s: notes: %q", root, s.Notes)
		}
		if made := listing(t, dir); len(made) > 0 {
			t.Errorf("%s: made %q", root, made)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCgroupsSwept kills the maker with its guardian, or that alone: the next run,
// Remove, or the maker removes the cgroups.
func TestCgroupsSwept(t *testing.T) {
	require.Root(t)
	there := testCgroup(t)
	base := "/" + filepath.Base(there)
	image := saved(t, rooted(base+"/a/b", base+"/c", base+"/a"))
	for _, by := range []string{"next", "remove", "maker"} {
		whom := "both"
		if by == "maker" {
			whom = "guardian"
		}
		_ = helper(t, "pin and die", image, t.TempDir(), "0", whom).Run()
		if _, err := os.Stat(filepath.Join(there, "a", "b")); whom == "both" && err != nil {
			t.Fatal("nothing is left that would have to be swept:", err)
		}
		switch by {
		case "next":
			if err := execute(t, small(), restore.Options{}).Close(); err != nil {
				t.Error(err)
			}
		case "remove":
			if err := restore.Remove("dies"); err != nil {
				t.Error(err)
			}
		}
		if left, err := filepath.Glob(there + "/[ac]"); err != nil || len(left) > 0 {
			t.Errorf("%s: left %q, %v", by, left, err)
		}
		noChildren(t)
		noRecords(t)
	}
}
