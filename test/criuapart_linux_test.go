package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/renest/renest/test/require"
)

// TestCRIUApart dumps a service in a UTS and an ipc namespace of its own, beside tasks of
// the same container that are not in them, as systemd's ProtectHostname and PrivateIPC
// make them. CRIU alone refuses that.
func TestCRIUApart(t *testing.T) {
	if testing.Short() { // see TestCRIUParent, whose shim is in one
		return
	}
	c := newCRIU(t)
	child := func() *level { return &level{New: []string{"uts", "ipc"}, Hostname: "service", Serve: true} }
	host := []string{"pid", "mnt", "uts", "ipc", "net"}
	tests := map[string]struct {
		depth int
		root  level
	}{
		"of the host":          {1, level{New: host}},
		"of a user namespace":  {1, level{New: everything(), Outside: 100000, Count: 65536}},
		"root in the host's":   {1, level{New: []string{"pid", "mnt", "ipc", "net"}}},
		"two user levels deep": {2, level{New: everything()}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.root.Root, tt.root.Child = c.rootfs(t), child()
			if slices.Contains(tt.root.New, "uts") {
				tt.root.Hostname = "root"
			}
			top := startCounter(t, levels(tt.depth, tt.root))
			root := descend(t, top, tt.depth)
			serving := descend(t, root, 2)
			before := counting(t, serving)
			shape := taskShape(t, family(top))

			dir := t.TempDir()
			renest(t, 0, "criu", "dump", "--criu", c.path, "-t", strconv.Itoa(root), "-D", dir)
			end(t, top)
			r := c.restore(t, dir, uniqueName("uts"))
			now := descend(t, r.pids[0], 2)
			after := counting(t, now)
			if after.Count <= before.Count {
				t.Errorf("it counted to %d, and is at %d", before.Count, after.Count)
			}
			before.Count, after.Count, before.Clock, after.Clock = 0, 0, 0, 0
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("service (-before +after):\n%s", diff)
			}
			for _, typ := range []string{"uts", "ipc"} {
				if one := ofThreads(t, now, typ); len(one) != 1 || one[0] == ofThreads(t, r.pids[0], typ)[0] {
					t.Errorf("its threads are in %v, those of the root in %v", one, ofThreads(t, r.pids[0], typ))
				}
			}
			compareShapes(t, shape, r.restored)
		})
	}
}

// ofThreads lists the namespaces of a type that threads of a process are in.
func ofThreads(t *testing.T, pid int, typ string) (list []string) {
	t.Helper()
	links, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/ns/" + typ)
	for _, link := range links {
		if name, err := os.Readlink(link); err == nil && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}

// TestCRIUApartRefused has something in such an ipc namespace, which would be lost.
func TestCRIUApartRefused(t *testing.T) {
	if testing.Short() {
		return
	}
	require.Command(t, "nsenter", "nsenter")
	c := newCRIU(t)
	root := outermost(serving(c.rootfs(t), &level{New: []string{"ipc"}, Queue: true}))
	top := startCounter(t, root)
	before := counting(t, top)
	waitFor(t, "there is a queue", func() bool {
		b, err := exec.Command("nsenter", "-t", strconv.Itoa(first(t, top)), "-i", "cat", "/proc/sysvipc/msg").Output()
		return err == nil && strings.Count(string(b), "\n") > 1
	})
	out := renestFails(t, "criu", "dump", "--criu", c.path, "-t", strconv.Itoa(top), "-D", t.TempDir())
	if !strings.Contains(out, "where there are message queues") {
		t.Errorf("renest says %q", out)
	}
	if after := counting(t, top); after.Count <= before.Count {
		t.Errorf("%+v before, %+v after", before, after)
	}
}
