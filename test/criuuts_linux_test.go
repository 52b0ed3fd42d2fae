package test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCRIUUTS dumps a service in a UTS namespace of its own, beside tasks of the same
// container that are not in it, as systemd's ProtectHostname makes it. CRIU alone
// refuses that.
func TestCRIUUTS(t *testing.T) {
	if testing.Short() { // see TestCRIUParent, whose shim is in one
		return
	}
	c := newCRIU(t)
	child := func() *level { return &level{New: []string{"uts"}, Hostname: "service", Serve: true} }
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
			if one := utsOfThreads(t, now); len(one) != 1 || one[0] == utsOfThreads(t, r.pids[0])[0] {
				t.Errorf("its threads are in %v, those of the root in %v", one, utsOfThreads(t, r.pids[0]))
			}
			compareShapes(t, shape, r.restored)
		})
	}
}

// utsOfThreads lists the UTS namespaces that threads of a process are in.
func utsOfThreads(t *testing.T, pid int) (list []string) {
	t.Helper()
	links, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/ns/uts")
	seen := map[string]bool{}
	for _, link := range links {
		if name, err := os.Readlink(link); err == nil && !seen[name] {
			seen[name] = true
			list = append(list, name)
		}
	}
	return list
}
