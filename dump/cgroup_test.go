//go:build linux

package dump

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/test/require"
	"github.com/renest/renest/topology"
)

func TestCgroup(t *testing.T) {
	asUser(t)
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	want, ok := unifiedPath(b)
	if !ok {
		require.That(t, "cgroup2", errors.New("no hierarchy"))
	}
	root := nest(t)
	fork(t, root, nsfs.User|nsfs.Cgroup)
	g := tree(t, root.PID())
	wantComplete(t, g)
	if c := own(g, topology.Cgroup); len(c) != 1 || c[0].Cgroup == nil || c[0].Cgroup.Root != want {
		t.Errorf("root %+v, want %s", c, want)
	}
}

// TestCgroupWithoutTask has a cgroup namespace held by a descriptor, and rooted in
// a cgroup where no task is.
func TestCgroupWithoutTask(t *testing.T) {
	require.Root(t)
	mnt, err := testSelf(t).MountPoint("cgroup2")
	if err == nil && mnt == "" {
		err = errors.New("not mounted")
	}
	require.That(t, "cgroup2", err)
	name := "renest-test-" + strconv.Itoa(os.Getpid())
	dir := filepath.Join(mnt, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		eventually(t, "the cgroup is empty", func() bool { return os.Remove(dir) == nil })
	})
	root := nest(t)
	a := fork(t, root, 0)
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(a.PID())), 0); err != nil {
		t.Fatal(err)
	}
	b := fork(t, a, nsfs.Cgroup)
	if err := os.WriteFile(filepath.Join(mnt, "cgroup.procs"), []byte(strconv.Itoa(b.PID())), 0); err != nil {
		t.Fatal(err)
	}
	check := func(what string) {
		t.Helper()
		g := tree(t, root.PID())
		wantComplete(t, g)
		if c := own(g, topology.Cgroup); len(c) != 1 || c[0].Cgroup == nil || c[0].Cgroup.Root != "/"+name {
			t.Errorf("%s: %+v, want /%s", what, c[0].Cgroup, name)
		}
	}
	check("its task has left the root")
	openNS(t, root, b, nsfs.InCgroup)
	exit(t, b)
	exit(t, a)
	check("it has no task")
}

// TestCgroupHeld has a cgroup namespace that only a descriptor holds, in the sight
// of who may mount nothing here.
func TestCgroupHeld(t *testing.T) {
	asUser(t)
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	want, ok := unifiedPath(b)
	if !ok {
		require.That(t, "cgroup2", errors.New("no hierarchy"))
	}
	root := nest(t)
	user := fork(t, root, nsfs.User)
	a := fork(t, user, nsfs.Cgroup)
	openNS(t, root, a, nsfs.InCgroup)
	exit(t, a)
	g := tree(t, root.PID())
	wantComplete(t, g)
	if c := own(g, topology.Cgroup); len(c) != 1 || c[0].Cgroup == nil || c[0].Cgroup.Root != want {
		t.Errorf("root %+v, want %s", c, want)
	}
}

func TestDifferInV1(t *testing.T) {
	const outside = "4:memory:/a\n1:name=systemd:/\n0::/b\n"
	for inside, want := range map[string]bool{
		outside:                                 false,
		"4:memory:/a\n1:name=systemd:/\n0::/\n": false,
		"4:memory:/\n1:name=systemd:/\n0::/b\n": true,
	} {
		if got := differInV1([]byte(outside), []byte(inside)); got != want {
			t.Errorf("inside %q: %v", inside, got)
		}
	}
}
