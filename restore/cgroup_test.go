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

// TestCgroupRoot roots cgroup namespaces of the host and of another owner where they
// were, in cgroups that are there and in some that are made, and removes those.
func TestCgroupRoot(t *testing.T) {
	require.Root(t)
	mount := cgroup2(t)
	there, err := os.MkdirTemp(mount, "renest-test-") //nolint:usetesting // a cgroup
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(there); err != nil {
			t.Error(err)
		}
	})
	base := "/" + filepath.Base(there)
	roots := []string{base, base + "/a/b", base + "/a", "/"}
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
