package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/renest/renest/test/require"
)

// TestCRIUParent dumps a container in a container whose first process is the child of
// some task of the outer one, of a shim: after the restore it is that again. The shim
// has noticed nothing, and hears when its child ends.
func TestCRIUParent(t *testing.T) {
	c := newCRIU(t)
	for _, deputy := range []string{"waits", "ignores", "unshares", "filtered", "demoted", "named", "twice"} {
		if long(deputy, "named") {
			continue
		}
		t.Run(deputy, func(t *testing.T) {
			inner := serving("/inner", nil)
			outer := outermost(serving(c.rootfs(t), inner))
			outer.Deputy = deputy
			switch deputy {
			case "unshares":
				inner.New, inner.Outside, inner.Count = []string{"mnt", "uts", "ipc", "net"}, 0, 0
			case "twice":
				outer.Deputy, inner.Deputy, inner.Child = "waits", "waits", serving("/inner", nil)
				inner.Child.Count -= 4000
			}
			c.testParent(t, outer, 1)
		})
	}
}

// TestCRIUParentBelow does the same where the outer layer is no container: it is a task
// in a pid namespace that is not restored but for an init, or is renest's own, for which
// CRIU does not number the inner one's first process.
func TestCRIUParentBelow(t *testing.T) {
	if testing.Short() {
		return
	}
	c := newCRIU(t)
	shim := func(t *testing.T) *level {
		l := serving(c.rootfs(t), serving("/inner", nil))
		l.New, l.Outside, l.Count, l.Deputy = []string{"mnt", "uts", "ipc", "net"}, 0, 0, "waits"
		return l
	}
	t.Run("a container", func(t *testing.T) { c.testParent(t, levels(2, *shim(t)), 2) })
	t.Run("own", func(t *testing.T) {
		require.Command(t, "nsenter", "nsenter")
		l := shim(t)
		l.Child.Outside = 100000
		top := startCounter(t, level{New: []string{"pid", "mnt"}, Child: l})
		within := *c
		within.within = top
		within.testParentOf(t, top, *l, 2)
	})
}

// renest runs renest where c is.
func (c *criuUser) renest(t *testing.T, args ...string) string {
	t.Helper()
	if c.within == 0 {
		return renest(t, 0, args...)
	}
	args = append([]string{"-t", strconv.Itoa(c.within), "-p", "-m", "--", program(t, "renest")}, args...)
	cmd := exec.Command("nsenter", args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("nsenter %s: %v: %s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// outside returns our numbers for processes that c has others for.
func (c *criuUser) outside(t *testing.T, pids []int) []int {
	t.Helper()
	ours := map[string]int{}
	for _, pid := range family(c.within) {
		ours[nspid(t, pid)[1]] = pid
	}
	var list []int
	for _, pid := range pids {
		list = append(list, ours[strconv.Itoa(pid)])
	}
	return list
}

// inside returns c's number for a process.
func (c *criuUser) inside(t *testing.T, pid int) string {
	t.Helper()
	if c.within == 0 {
		return strconv.Itoa(pid)
	}
	return nspid(t, pid)[1]
}

// TestCRIUParentOfTwo has two containers below one shim.
func TestCRIUParentOfTwo(t *testing.T) {
	if testing.Short() {
		return
	}
	c := newCRIU(t)
	outer := outermost(serving(c.rootfs(t), serving("/inner", nil)))
	outer.Deputy = "doubles"
	top := startCounter(t, outer)
	shim := parentOf(t, innerOf(t, top))
	var pids []int
	waitFor(t, "there are two", func() bool {
		pids = children(shim)
		return len(pids) == 2 && !sameRoot(top, pids[0]) && !sameRoot(top, pids[1])
	})
	before := map[string]int64{}
	for _, pid := range pids {
		before[counting(t, pid).Remote] = counting(t, pid).Count
	}
	report := reportOf(t, top)
	dir := t.TempDir()
	renest(t, 0, "criu", "dump", "--criu", c.path, "-t", strconv.Itoa(top), "-D", dir)
	r := c.restore(t, dir, uniqueName("two"))
	for _, pid := range r.pids[1:] {
		if after := counting(t, pid); after.Count <= before[after.Remote] {
			t.Errorf("%+v, and before %v", after, before)
		}
		if parentOf(t, pid) != parentOf(t, r.pids[1]) || parentOf(t, pid) == r.pids[0] {
			t.Errorf("the parent of %d is %d, of the first one %d", pid, parentOf(t, pid), parentOf(t, r.pids[1]))
		}
	}
	if diff := cmp.Diff(report, reportOf(t, r.pids[0])); diff != "" {
		t.Errorf("the shim (-before +after):\n%s", diff)
	}
}

// testParent starts containers, of which the one at depth is the outermost of the
// tree.
func (c *criuUser) testParent(t *testing.T, spec level, depth int) {
	top := startCounter(t, spec)
	for range depth - 1 {
		spec = *spec.Child
	}
	c.testParentOf(t, top, spec, depth)
}

// testParentOf does so with those that were started.
func (c *criuUser) testParentOf(t *testing.T, top int, spec level, depth int) {
	pids := []int{descend(t, top, depth)}
	for l := spec.Child; l != nil; l = l.Child {
		pids = append(pids, innerOf(t, pids[len(pids)-1]))
	}
	var before []status
	var reports []report
	var rights []string
	for i, pid := range pids {
		before = append(before, counting(t, pid))
		if i > 0 {
			reports = append(reports, reportOf(t, pids[i-1]))
			rights = append(rights, rightsOf(t, parentOf(t, pid)))
		}
	}
	all := family(top)
	shape := taskShape(t, all)

	dir := t.TempDir()
	c.renest(t, "criu", "dump", "--criu", c.path, "-t", c.inside(t, pids[0]), "-D", dir)
	if alive(top) && top != c.within {
		end(t, top)
	}
	for _, pid := range all[1:] { // CRIU gives the numbers again
		waitFor(t, fmt.Sprintf("pid %d is free", pid), func() bool { return errors.Is(unix.Kill(pid, 0), unix.ESRCH) })
	}
	r := c.restore(t, dir, uniqueName(strings.ReplaceAll(filepath.Base(t.Name()), "_", "-")))
	for i, pid := range r.pids {
		if after := counting(t, pid); after.Count <= before[i].Count || after.Remote != before[i].Remote {
			t.Errorf("layer %d: %+v before, %+v after", i, before[i], after)
		}
		if i == 0 {
			continue
		}
		if diff := cmp.Diff(reports[i-1], reportOf(t, r.pids[i-1])); diff != "" {
			t.Errorf("the shim above layer %d (-before +after):\n%s", i, diff)
		}
		parent := nspid(t, parentOf(t, pid))
		if got, want := bearsInside(t, parentOf(t, pid), pid), spec.Deputy == "unshares"; got != want {
			t.Errorf("the children of the shim above layer %d will be in that: %t, want %t", i, got, want)
		}
		if diff := cmp.Diff(rights[i-1], rightsOf(t, parentOf(t, pid))); diff != "" {
			t.Errorf("the shim above layer %d (-before +after):\n%s", i, diff)
		}
		if got := parent[len(parent)-1]; got != strconv.Itoa(reports[i-1].PID) {
			t.Errorf("the parent of the first process of layer %d is %s, not the shim, %d", i, got, reports[i-1].PID)
		}
	}
	if c.within == 0 { // where the paths are ours
		compareShapes(t, shape, r.restored)
	}
	c.testEnd(t, spec, r, reports)
}

// bearsInside tells whether a process's children will be in the pid namespace of
// another.
func bearsInside(t *testing.T, pid, init int) bool {
	t.Helper()
	children, err1 := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid_for_children", pid))
	own, err2 := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", init))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return children == own
}

// rightsOf returns what a process may do.
func rightsOf(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for line := range strings.Lines(string(b)) {
		for _, name := range []string{"Uid:", "Gid:", "Groups:", "CapEff:", "CapPrm:", "Seccomp:", "SigBlk:"} {
			if strings.HasPrefix(line, name) {
				list = append(list, strings.TrimSpace(line))
			}
		}
	}
	return strings.Join(list, ", ")
}

// testEnd has the innermost container end.
func (c *criuUser) testEnd(t *testing.T, spec level, r restoredTasks, reports []report) {
	t.Helper()
	last := len(r.pids) - 1
	_ = unix.Kill(r.pids[last], unix.SIGKILL)
	want := reports[last-1]
	want.Ended, want.Status, want.Signals = true, int(unix.SIGKILL), want.Signals+1
	if spec.Deputy == "ignores" {
		want.Status, want.Signals = 0, 0
	}
	var got report
	waitFor(t, "the shim knows of the end", func() bool {
		got = reportOf(t, r.pids[last-1])
		return got.Ended && got.Signals == want.Signals
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the shim of what has ended (-want +got):\n%s", diff)
	}
}

// report is what a deputy says, see test/counter.
type report struct {
	PID     int
	Child   int
	Signals int
	Ended   bool
	Status  int
}

// reportOf asks the deputy in the container of which pid is the first process.
func reportOf(t *testing.T, pid int) (r report) {
	t.Helper()
	waitFor(t, fmt.Sprintf("the deputy in the container of pid %d answers", pid), func() bool {
		conn, err := net.DialTimeout("unix", fmt.Sprintf("/proc/%d/root/tmp/deputy", pid), time.Minute)
		if err != nil {
			return false
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		return json.NewDecoder(conn).Decode(&r) == nil
	})
	return r
}

// TestCRIUParentFailure has the restore of the inner one of two containers fail:
// nothing is left.
func TestCRIUParentFailure(t *testing.T) {
	if testing.Short() {
		return
	}
	c := newCRIU(t)
	root := c.rootfs(t)
	outer := outermost(serving(root, serving("/inner", nil)))
	outer.Deputy = "waits"
	top := startCounter(t, outer)
	counting(t, innerOf(t, top))
	dir := t.TempDir()
	renest(t, 0, "criu", "dump", "--criu", c.path, "-t", strconv.Itoa(top), "-D", dir)
	program := filepath.Join(root, "inner", "counter")
	if err := os.Rename(program, program+".gone"); err != nil {
		t.Fatal(err)
	}
	name := uniqueName("parent-failure")
	for _, flag := range []string{"--restore-sibling=false", "--restore-sibling"} {
		if out := renestFails(t, "criu", "restore", flag, "--criu", c.path, "-D", dir, "--name", name); !strings.Contains(out, "CRIU: ") {
			t.Errorf("%s: renest says %q, nothing of CRIU's", flag, out)
		}
		if standing(t, name) {
			t.Errorf("%s: it stands all the same", flag)
		}
		waitFor(t, "no process is left", func() bool { return len(rootedAt(t, root)) == 0 })
		wantNoMountPoints(t, dir)
	}
	if err := os.Rename(program+".gone", program); err != nil {
		t.Fatal(err)
	}
	counting(t, c.restore(t, dir, name).pids[1])
}

// rootedAt lists the processes that have a root directory.
func rootedAt(t *testing.T, root string) (pids []string) {
	t.Helper()
	want, err := os.Stat(root)
	if err != nil {
		t.Fatal(err)
	}
	links, _ := filepath.Glob("/proc/[0-9]*/root")
	for _, link := range links {
		if st, err := os.Stat(link + "/."); err == nil && os.SameFile(st, want) {
			pids = append(pids, filepath.Base(filepath.Dir(link)))
		}
	}
	return pids
}
