package test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/renest/renest/test/seed"
)

// TestCRIUFailure has CRIU fail at one of two layers: both go on as if nothing had
// been.
func TestCRIUFailure(t *testing.T) {
	c := newCRIU(t)
	tests := map[string]struct {
		spoil func(outer *level)
		want  string
	}{
		"outer": {func(outer *level) { outer.Odd = true }, "Unsupported proto 262"},
		"inner": {func(outer *level) { outer.Child.Odd = true }, "Unsupported proto 262"},
	}
	for name, tt := range tests {
		if long(name, "outer") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			spec := outermost(serving(c.rootfs(t), serving("/inner", nil)))
			tt.spoil(&spec)
			outer := startCounter(t, spec)
			inner := innerOf(t, outer)
			before := []status{counting(t, outer), counting(t, inner)}
			dir := t.TempDir()
			if out := renestFails(t, "criu", "dump", "--criu", c.path, "-t", strconv.Itoa(outer), "-D", dir); !strings.Contains(out, tt.want) {
				t.Errorf("renest says %q, nothing of %q", out, tt.want)
			}
			for i, pid := range []int{outer, inner} {
				if after := counting(t, pid); after.Count <= before[i].Count || after.Client != before[i].Client {
					t.Errorf("layer %d: %+v before, %+v after", i, before[i], after)
				}
			}
		})
	}
}

// TestCRIUKilled kills renest while it dumps two layers, at any moment: unless the dump
// is done, both go on. What is dumped is restored, by a renest that is killed too, until
// one gets through.
func TestCRIUKilled(t *testing.T) {
	c := newCRIU(t)
	if testing.Short() {
		return
	}
	root := c.rootfs(t)
	spec := outermost(serving(root, serving("/inner", nil)))
	spec.Deputy = "waits"
	outer := startCounter(t, spec)
	inner := innerOf(t, outer)
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(seed.Of(t), 0))

	before := []status{counting(t, outer), counting(t, inner)}
	took := time.Second
	for tries := 0; alive(outer); tries++ {
		os.RemoveAll(dir)
		after := time.Duration(random.Int64N(int64(took)))
		if tries > 8 {
			after = time.Minute // it is done before
		}
		c.killed(t, after, "criu", "dump", "--criu", c.path, "-t", strconv.Itoa(outer), "-D", dir)
		for _, pid := range []int{outer, inner} {
			waitFor(t, fmt.Sprintf("nobody traces %d", pid), func() bool { return !alive(pid) || !traced(pid) })
		}
		if alive(outer) {
			counting(t, outer)
			counting(t, inner)
		}
	}
	name := uniqueName("killed-criu")
	rewind := logsOf(t, root, filepath.Join(root, "inner"))
	for range 8 {
		c.killed(t, time.Duration(random.Int64N(int64(took))), "criu", "restore", "--criu", c.path, "-D", dir, "--name", name)
		if standing(t, name) {
			renest(t, 0, "rm", name)
		}
		waitFor(t, "no process is left", func() bool { return len(rootedAt(t, root)) == 0 })
		wantNoMountPoints(t, dir)
		rewind()
	}
	r := c.restore(t, dir, name)
	for i, pid := range r.pids {
		if after := counting(t, pid); after.Count <= before[i].Count || after.Remote != before[i].Remote {
			t.Errorf("layer %d: %+v before, %+v after", i, before[i], after)
		}
	}
}

// logsOf returns what makes the logs of services as long again as they are now: CRIU
// restores no file that has grown since, as by a service that was killed when it ran.
func logsOf(t *testing.T, roots ...string) (rewind func()) {
	t.Helper()
	sizes := map[string]int64{}
	for _, root := range roots {
		st, err := os.Stat(filepath.Join(root, "tmp/log"))
		if err != nil {
			t.Fatal(err)
		}
		sizes[filepath.Join(root, "tmp/log")] = st.Size()
	}
	return func() {
		for path, size := range sizes {
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// killed runs renest and kills it after a while, unless it ends before.
func (c *criuUser) killed(t *testing.T, after time.Duration, args ...string) {
	t.Helper()
	cmd := exec.Command(program(t, "renest"), args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	_ = cmd.Wait()
}
