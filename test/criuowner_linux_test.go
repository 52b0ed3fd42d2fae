package test

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestCRIUOwnership dumps a task in a net namespace that belongs to a nested user
// namespace without a task. CRIU alone restores it as the root task's.
func TestCRIUOwnership(t *testing.T) {
	c := newCRIU(t)
	child := &level{Foreign: 5000, Serve: true}
	host := []string{"pid", "mnt", "uts", "ipc", "net"}
	tests := map[string]struct {
		depth int
		root  level
	}{
		"of the host":          {1, level{New: host}},
		"of a user namespace":  {1, level{New: everything(), Outside: 100000, Count: 65536}},
		"two user levels deep": {2, level{New: everything()}},
	}
	for name, tt := range tests {
		if long(name, "of a user namespace") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			tt.root.Root, tt.root.Child, tt.root.Hostname = c.rootfs(t), child, "root"
			top := startCounter(t, levels(tt.depth, tt.root))
			root := descend(t, top, tt.depth)
			serving := descend(t, root, 2)
			before := counting(t, serving)
			shape := taskShape(t, family(top))
			net := netOwner(t, serving)
			if net == netOwner(t, root) {
				t.Fatalf("its net namespace belongs to %s, as that of the root", net)
			}

			wantTaken(t, root, 1)

			dir := t.TempDir()
			renest(t, 0, "criu", "dump", "--criu", c.path, "-t", strconv.Itoa(root), "-D", dir)
			end(t, top)
			r := c.restore(t, dir, uniqueName(strings.ReplaceAll(filepath.Base(t.Name()), "_", "-")))
			now := descend(t, r.pids[0], 2)
			after := counting(t, now)
			if after.Count <= before.Count || after.Local != before.Local || after.Remote != before.Remote {
				t.Errorf("service: %+v before, %+v after", before, after)
			}
			if got := netOwner(t, now); got == netOwner(t, r.pids[0]) {
				t.Errorf("its net namespace belongs to %s again, as that of the root", got)
			}
			compareShapes(t, shape, r.restored)
		})
	}
}

// netOwner asks the kernel who owns the net namespace of a task (NS_GET_USERNS).
func netOwner(t *testing.T, pid int) string {
	t.Helper()
	s := shape{}
	name, err := s.add(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		t.Fatal(err)
	}
	return s[name].Owner
}
