package test

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCRIUDepth dumps a service at some depth of user and pid namespaces, kills it and
// all above it, and restores it there: it goes on counting over its old connection.
func TestCRIUDepth(t *testing.T) {
	c := newCRIU(t)
	tests := map[string]struct {
		depth int
		leaf  level
	}{
		"two":        {2, level{New: everything()}},
		"three":      {3, level{New: everything()}},
		"five":       {5, level{New: everything()}},
		"own clocks": {2, level{New: append(everything(), "time"), Offset: 86400}},
		"cgroup":     {2, level{New: append(everything(), "cgroup")}},
		"full map":   {1, level{New: everything(), Count: 1<<32 - 2}},
		"shared ipc": {3, level{New: []string{"user", "pid", "mnt", "net"}}},
		"pid alone":  {2, level{New: []string{"pid", "mnt", "uts", "ipc", "net"}}},
	}
	for name, tt := range tests {
		if long(name, "two", "five") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			tt.leaf.Root, tt.leaf.Serve, tt.leaf.Hostname = c.rootfs(t), true, "leaf"
			if !strings.Contains(strings.Join(tt.leaf.New, " "), "uts") {
				tt.leaf.Hostname = ""
			}
			c.testLeaf(t, levels(tt.depth, tt.leaf), tt.depth)
		})
	}
}

func (c *criuUser) testLeaf(t *testing.T, spec level, depth int) {
	top := startCounter(t, spec)
	leaf := descend(t, top, depth)
	before := counting(t, leaf)
	numbers := nspid(t, leaf)
	shape := taskShape(t, family(top))
	wantTaken(t, leaf, 1)

	dir := t.TempDir()
	renest(t, 0, "criu", "dump", "--criu", c.path, "-t", strconv.Itoa(leaf), "-D", dir)
	if alive(leaf) {
		t.Error("the leaf is alive after its dump")
	}
	end(t, top)

	name := uniqueName(strings.ReplaceAll(filepath.Base(t.Name()), "_", "-"))
	r := c.restore(t, dir, name)
	after := counting(t, r.pids[0])
	if after.Count <= before.Count || after.Clock < before.Clock {
		t.Errorf("it counted to %d at %ds, and is at %d at %ds", before.Count, before.Clock, after.Count, after.Clock)
	}
	before.Count, after.Count, before.Clock, after.Clock = 0, 0, 0, 0
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("service (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(numbers[1:], nspid(t, r.pids[0])[1:]); diff != "" {
		t.Errorf("its pids below the host's level (-before +after):\n%s", diff)
	}
	compareShapes(t, shape, r.restored)
}
