package test

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/renest/renest/test/require"
)

// TestCRIULayers dumps containers in containers, with tasks in all of them, kills the
// tree and restores it: all go on counting.
func TestCRIULayers(t *testing.T) {
	c := newCRIU(t)
	inner := serving("/inner", nil)
	t.Run("on the host", func(t *testing.T) { c.testLayers(t, outermost(serving(c.rootfs(t), inner)), 1, 2) })
	if testing.Short() {
		return
	}
	t.Run("in a container", func(t *testing.T) { c.testLayers(t, levels(2, free(serving(c.rootfs(t), inner))), 2, 2) })
	t.Run("root inside", func(t *testing.T) {
		require.Command(t, "tar", "tar") // with which CRIU saves a tmpfs
		outer := outermost(serving(c.rootfs(t), serving("/scratch/root", nil)))
		outer.Scratch = true
		c.testLayers(t, outer, 1, 2)
	})
	t.Run("three", func(t *testing.T) {
		c.testLayers(t, outermost(serving(c.rootfs(t), serving("/inner", inner))), 1, 3)
	})
}

// testLayers starts containers, of which the one at depth serves and has others in it.
func (c *criuUser) testLayers(t *testing.T, spec level, depth, count int) {
	top := startCounter(t, spec)
	pids := []int{descend(t, top, depth)}
	for len(pids) < count {
		pids = append(pids, innerOf(t, pids[len(pids)-1]))
	}
	var before []status
	var numbers [][]string
	for _, pid := range pids {
		before, numbers = append(before, counting(t, pid)), append(numbers, nspid(t, pid))
	}
	shape := taskShape(t, family(top))
	wantTaken(t, pids[0], count)

	dir := t.TempDir()
	renest(t, 0, "criu", "dump", "--criu", c.path, "-t", strconv.Itoa(pids[0]), "-D", dir)
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("pid %d is alive after its dump", pid)
		}
	}
	end(t, top)
	if out := renest(t, 0, "show", dir); !strings.Contains(out, "CRIU's images agree") {
		t.Errorf("renest show says nothing of CRIU's images:\n%s", out)
	}

	name := uniqueName(strings.ReplaceAll(filepath.Base(t.Name()), "_", "-"))
	r := c.restore(t, dir, name)
	for i, pid := range r.pids {
		after := counting(t, pid)
		if after.Count <= before[i].Count {
			t.Errorf("layer %d counted to %d, and is at %d", i, before[i].Count, after.Count)
		}
		before[i].Count, after.Count, before[i].Clock, after.Clock = 0, 0, 0, 0
		if diff := cmp.Diff(before[i], after); diff != "" {
			t.Errorf("service of layer %d (-before +after):\n%s", i, diff)
		}
		if diff := cmp.Diff(numbers[i][1:], nspid(t, pid)[1:]); diff != "" {
			t.Errorf("its pids below the host's level (-before +after):\n%s", diff)
		}
		if i > 0 && parentOf(t, pid) != r.pids[i-1] {
			t.Errorf("the parent of the init %d is %d, not the init above, %d", pid, parentOf(t, pid), r.pids[i-1])
		}
	}
	compareShapes(t, shape, r.restored)
}
