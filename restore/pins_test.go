//go:build linux && (amd64 || arm64)

package restore_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/renest/renest/restore"
	"github.com/renest/renest/test/require"
	"github.com/renest/renest/topology"
)

// pinned returns a container whose net and UTS namespaces are bind-mounted, the
// latter twice.
func pinned() *topology.Graph {
	mnt := &topology.Namespace{Type: topology.Mnt, Ino: 4, External: true}
	net := bound(&topology.Namespace{Type: topology.Net, Ino: 12}, mnt, "/run/netns/blue")
	uts := bound(&topology.Namespace{Type: topology.UTS, Ino: 13, UTS: &topology.UTSState{NodeName: "ship"}}, mnt, "/run/netns/uts", "/a/b/c/d")
	g := container(mnt, net, uts)
	// What is external comes first.
	g.Namespaces = append([]*topology.Namespace{mnt}, append(g.Namespaces[:5:5], net, uts)...)
	return g
}

// pinPlan plans g, and asks this host about it.
func pinPlan(g *topology.Graph, o restore.PinOptions) (*restore.Plan, error) {
	host, err := restore.ReadHost()
	if err != nil {
		return nil, err
	}
	po := host.PlanOptions()
	po.Pins = o
	p, err := restore.NewPlan(g, po)
	if err != nil {
		return nil, err
	}
	if err := host.Resolve(context.Background(), p); err != nil {
		return nil, err
	}
	return p, restore.Preflight(p, host)
}

// listing describes what is in a folder: files by their size and mode, and
// namespaces by their type.
func listing(t testing.TB, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		line := strings.TrimPrefix(path, dir) + " "
		var sfs unix.Statfs_t
		if err := unix.Statfs(path, &sfs); err == nil && sfs.Type == unix.NSFS_MAGIC {
			line += "namespace"
		} else {
			line += e.Type().String()
		}
		list = append(list, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// mountsBelow lists the mounts in a folder.
func mountsBelow(t testing.TB, dir string) []string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for line := range strings.Lines(string(text)) {
		if at := strings.Fields(line)[4]; strings.HasPrefix(at, dir+"/") {
			list = append(list, at)
		}
	}
	return list
}

// nothingIn fails a test that leaves anything in a folder.
func nothingIn(t testing.TB, dir string) {
	t.Helper()
	if left := append(listing(t, dir), mountsBelow(t, dir)...); len(left) > 0 {
		t.Errorf("left in %s: %q", dir, left)
	}
}

// noRecords fails a test that leaves the folder of records behind.
func noRecords(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(restore.StateDir()); !errors.Is(err, fs.ErrNotExist) {
		entries, _ := os.ReadDir(restore.StateDir())
		t.Errorf("%s is still there, with %v", restore.StateDir(), entries)
	}
}

var pinsInDir = []string{
	"/a d---------", "/a/b d---------", "/a/b/c d---------", "/a/b/c/d namespace",
	"/run d---------", "/run/netns d---------", "/run/netns/blue namespace", "/run/netns/uts namespace",
}

// TestPins makes bind mounts, which go with the tree: whether it was left standing
// or not.
func TestPins(t *testing.T) {
	require.Root(t)
	dir := t.TempDir()
	p, err := pinPlan(pinned(), restore.PinOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for _, commit := range []bool{false, true} {
		s, err := restore.Execute(t.Context(), p, restore.Options{Name: "pinned"})
		if err != nil {
			t.Fatal(err)
		}
		var tree *restore.Tree
		if commit {
			if tree, err = s.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(pinsInDir, listing(t, dir)); diff != "" {
			t.Errorf("below the folder (-want +got):\n%s", diff)
		}
		for path, image := range map[string]string{"/run/netns/blue": "net:[12]", "/run/netns/uts": "uts:[13]", "/a/b/c/d": "uts:[13]"} {
			if got, want := inode(t, dir+path), live(s, image); !strings.HasSuffix(want, ":["+got+"]") {
				t.Errorf("in %s is %s, want %s", path, got, want)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if commit {
			checkRecord(t, tree, dir)
			if err := restore.Remove("pinned"); err != nil {
				t.Fatal(err)
			}
		}
		nothingIn(t, dir)
		noChildren(t)
		noRecords(t)
	}
}

// checkRecord wants of the folder of records the record alone, and in it what was
// mounted.
func checkRecord(t *testing.T, tree *restore.Tree, dir string) {
	t.Helper()
	entries, err := os.ReadDir(restore.StateDir())
	if err != nil || len(entries) != 1 || entries[0].Name() != "pinned" {
		t.Errorf("records: %v, %v", entries, err)
	}
	found, err := restore.Find("pinned")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tree, found); diff != "" {
		t.Errorf("the record (-returned +found):\n%s", diff)
	}
	want := []string{dir + "/a", dir + "/a/b", dir + "/a/b/c", dir + "/run", dir + "/run/netns"}
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(found.Pins.Folders))); diff != "" || len(found.Pins.Mounts) != 3 {
		t.Errorf("%d mounts; folders (-want +got):\n%s", len(found.Pins.Mounts), diff)
	}
}

// TestPinsOriginal brings them back where they were.
func TestPinsOriginal(t *testing.T) {
	require.Root(t)
	mnt := &topology.Namespace{Type: topology.Mnt, Ino: 4, External: true}
	net := bound(&topology.Namespace{Type: topology.Net, Ino: 12}, mnt, "/run/netns/blue")
	g := container(mnt, net)
	g.Namespaces = append([]*topology.Namespace{mnt}, append(g.Namespaces[:5:5], net)...)
	p, err := pinPlan(g, restore.PinOptions{Original: true})
	if err != nil {
		t.Fatal(err)
	}
	s, err := restore.Execute(t.Context(), p, restore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, want := inode(t, "/run/netns/blue"), live(s, "net:[12]"); want != "net:["+got+"]" {
		t.Errorf("in /run/netns/blue is %s, want %s", got, want)
	}
	// A second time something is there.
	if _, err := pinPlan(g, restore.PinOptions{Original: true}); err == nil {
		t.Error("not refused")
	} else {
		wantError(t, err, "something is at /run/netns/blue already")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/run/netns"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("/run/netns: %v", err)
	}
}

// inode returns the inode number of a file.
func inode(t *testing.T, path string) string {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return strconv.FormatUint(st.Ino, 10)
}

func live(s *restore.Standing, image string) string {
	for _, b := range s.Bindings {
		if b.Image == image {
			return b.Live
		}
	}
	return ""
}

// TestPinsInTheWay has files, folders and links where bind mounts are to be. They
// are seen beforehand, and by Execute for itself; nothing of them is touched.
func TestPinsInTheWay(t *testing.T) {
	require.Root(t)
	for _, tt := range []struct {
		name string
		make func(dir string) error
		want string
	}{
		{"file", func(dir string) error { return write(dir+"/run/netns/blue", "theirs") }, "something is at DIR/run/netns/blue already"},
		{"folder", func(dir string) error { return os.MkdirAll(dir+"/a/b/c/d", 0o755) }, "something is at DIR/a/b/c/d already"},
		{"file for a folder", func(dir string) error { return write(dir+"/a", "theirs") }, "DIR/a is no folder"},
		{"link", func(dir string) error { return os.Symlink("/etc", dir+"/run") }, "DIR/run is no folder"},
		{"link below", func(dir string) error { return os.Symlink("run", dir+"/a") }, "DIR/a is no folder"},
		{"dangling link in its place", func(dir string) error {
			return errors.Join(os.MkdirAll(dir+"/run/netns", 0o755), os.Symlink("nowhere", dir+"/run/netns/blue"))
		}, "something is at DIR/run/netns/blue already"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := tt.make(dir); err != nil {
				t.Fatal(err)
			}
			before := listing(t, dir)
			want := strings.ReplaceAll(tt.want, "DIR", dir)
			p, err := pinPlan(pinned(), restore.PinOptions{Dir: dir})
			wantError(t, err, want)
			_, err = restore.Execute(t.Context(), p, restore.Options{})
			wantError(t, err, want)
			if diff := cmp.Diff(before, listing(t, dir)); diff != "" {
				t.Errorf("changed (-before +after):\n%s", diff)
			}
			noChildren(t)
			noRecords(t)
		})
	}
	t.Run("folder that is a link", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Symlink(dir, dir+"/link"); err != nil {
			t.Fatal(err)
		}
		_, err := pinPlan(pinned(), restore.PinOptions{Dir: dir + "/link"})
		wantError(t, err, "the folder "+dir+"/link is a symbolic link: name "+dir)
	})
}

func write(path, text string) error {
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600))
}

// TestPinsOvertaken puts something in the way between the look beforehand and
// the bind mount.
func TestPinsOvertaken(t *testing.T) {
	require.Root(t)
	for name, overtake := range map[string]func(dir string) error{
		"file": func(dir string) error { return write(dir+"/run/netns/uts", "theirs") },
		"link": func(dir string) error { return os.Symlink("/etc", dir+"/a") },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			p, err := pinPlan(pinned(), restore.PinOptions{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			_, err = restore.Execute(t.Context(), p, restore.Options{Progress: func(done, _ int) {
				if done == len(p.Steps)+1 { // the first bind mount is there
					err = overtake(dir)
				}
			}})
			wantError(t, err, "pin uts:[13] to "+dir)
			noChildren(t)
			if got := mountsBelow(t, dir); len(got) > 0 {
				t.Errorf("mounts are left: %q", got)
			}
			left := listing(t, dir)
			if name == "file" && cmp.Diff([]string{"/run d---------", "/run/netns d---------", "/run/netns/uts ----------"}, left) != "" || name == "link" && len(left) != 1 {
				t.Errorf("left: %q", left)
			}
			noRecords(t)
		})
	}
}

// TestPinsGoneAlready takes bind mounts, files and folders away by hand, and puts
// others in their place: these stay.
func TestPinsGoneAlready(t *testing.T) {
	require.Root(t)
	dir := t.TempDir()
	p, err := pinPlan(pinned(), restore.PinOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	s, err := restore.Execute(t.Context(), p, restore.Options{Name: "touched"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(unix.Unmount(dir+"/run/netns/blue", 0))
	must(os.Remove(dir + "/run/netns/blue"))
	must(write(dir+"/run/netns/blue", "theirs"))
	must(unix.Unmount(dir+"/a/b/c/d", 0))
	must(os.RemoveAll(dir + "/a/b"))
	// Another namespace in the place of theirs.
	must(unix.Unmount(dir+"/run/netns/uts", 0))
	must(unix.Mount("/proc/self/ns/uts", dir+"/run/netns/uts", "", unix.MS_BIND, ""))
	defer unix.Unmount(dir+"/run/netns/uts", 0) // where what follows fails
	must(restore.Remove("touched"))
	noChildren(t)
	want := []string{"/run d---------", "/run/netns d---------", "/run/netns/blue ----------", "/run/netns/uts namespace"}
	if diff := cmp.Diff(want, listing(t, dir)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}
