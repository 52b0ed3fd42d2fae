package test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/renest/renest/test/criu"
	"github.com/renest/renest/test/require"
)

// level is one process of a counter's specification, see test/counter.
type level struct {
	New      []string `json:"new,omitempty"`
	Outside  int      `json:"outside,omitempty"`
	Count    int      `json:"count,omitempty"`
	Hostname string   `json:"hostname,omitempty"`
	Offset   int      `json:"offset,omitempty"`
	Root     string   `json:"root,omitempty"`
	Serve    bool     `json:"serve,omitempty"`
	Foreign  int      `json:"foreign,omitempty"`
	Scratch  bool     `json:"scratch,omitempty"`
	Odd      bool     `json:"odd,omitempty"`
	Queue    bool     `json:"queue,omitempty"`
	Deputy   string   `json:"deputy,omitempty"`
	Child    *level   `json:"child,omitempty"`
}

// everything is what a container has of its own, but for clocks and cgroups.
func everything() []string { return []string{"user", "pid", "mnt", "uts", "ipc", "net"} }

// levels nests a leaf depth deep in all, each level with a part of the ids above.
func levels(depth int, leaf level) level {
	outside, count := 100000, 65536
	var build func(k int) level
	build = func(k int) level {
		if k == depth {
			return leaf
		}
		l := level{New: everything(), Outside: outside, Count: count, Hostname: fmt.Sprintf("level-%d", k)}
		outside, count = 1000, count-2000
		next := build(k + 1)
		if next.Outside == 0 && next.Count == 0 {
			next.Outside, next.Count = outside, count
		}
		l.Child = &next
		return l
	}
	return build(1)
}

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

// criuUser drives a CRIU that all users may execute.
type criuUser struct {
	path string
	// within is a process in whose pid and mount namespace renest runs, 0 for ours.
	within int
}

func newCRIU(t *testing.T) *criuUser {
	t.Helper()
	i := criu.Require(t)
	requireNetfilter(t)
	// It is run by the root of a user namespace, who cannot look into the home of
	// the host's.
	dir := publicDir(t)
	if out, err := exec.Command("cp", "-r", i.Dir, filepath.Join(dir, "criu")).CombinedOutput(); err != nil {
		t.Fatalf("copy CRIU: %v\n%s", err, out)
	}
	bin := filepath.Join(dir, "criu", "bin")
	t.Setenv("PATH", bin+":"+os.Getenv("PATH")) // CRIU looks there for ip
	return &criuUser{path: filepath.Join(bin, "criu")}
}

// publicDir makes a folder that any user can look into.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(builds.dir, "criu-") //nolint:usetesting // t.TempDir is below a folder of the user's alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// long tells whether a case is left out of short runs, where all but some are.
func long(name string, short ...string) bool { return testing.Short() && !slices.Contains(short, name) }

// rootfs makes the root directory of a service, with one in it for another, and so on.
func (c *criuUser) rootfs(t *testing.T) string {
	t.Helper()
	dir := publicDir(t)
	b, err := os.ReadFile(program(t, "counter"))
	if err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{"", "inner", "inner/inner"} {
		for _, d := range []string{"proc", "tmp", "scratch"} {
			if err := os.MkdirAll(filepath.Join(dir, root, d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(filepath.Join(dir, root, "tmp"), 0o777|os.ModeSticky); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, root, "counter"), b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// restoredTasks is what criu restore says.
type restoredTasks struct {
	restored
	pids []int
}

func (c *criuUser) restore(t *testing.T, dir, name string) restoredTasks {
	t.Helper()
	out := c.renest(t, "criu", "restore", "--criu", c.path, "-D", dir, "--name", name)
	t.Cleanup(func() {
		if standing(t, name) {
			c.renest(t, "rm", name)
		}
	})
	var r restoredTasks
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		pid, err := strconv.Atoi(f[len(f)-1])
		if err != nil || len(f) != 2 {
			t.Fatalf("criu restore says %q", out)
		}
		r.pids = append(r.pids, pid)
	}
	if c.within != 0 {
		r.pids = c.outside(t, r.pids)
		return r
	}
	var all []restored
	if err := json.Unmarshal([]byte(renest(t, 0, "ps", "--json")), &all); err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if a.Name == name {
			r.restored = a
		}
	}
	return r
}

// startCounter starts the processes of a specification, and ends them with the test.
func startCounter(t *testing.T, spec level) (pid int) {
	t.Helper()
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program(t, "counter"), string(text))
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr = log
	out, err := cmd.Output()
	if err == nil {
		pid, err = strconv.Atoi(strings.TrimSpace(string(out)))
	}
	if err != nil {
		t.Fatalf("start %s: %v", text, err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			b, _ := os.ReadFile(log.Name())
			t.Logf("the service says: %s", b)
			for s := &spec; s != nil; s = s.Child {
				b, _ := os.ReadFile(filepath.Join(s.Root, "tmp/log"))
				t.Logf("in %q it says: %s", s.Root, b)
			}
		}
		if alive(pid) {
			end(t, pid)
		}
	})
	return pid
}

// family lists a process and its descendants. A thread may end meanwhile.
func family(root int) []int {
	pids := []int{root}
	for i := 0; i < len(pids); i++ {
		pids = append(pids, children(pids[i])...)
	}
	return pids
}

// children lists the children of a process, those of all of its threads.
func children(parent int) (pids []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for field := range strings.FieldsSeq(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// descend returns the process that is depth levels deep, the first one being pid.
func descend(t *testing.T, pid, depth int) int {
	t.Helper()
	for range depth - 1 {
		pid = first(t, pid)
	}
	return pid
}

// first waits for the first child of a process.
func first(t *testing.T, pid int) int {
	t.Helper()
	var pids []int
	waitFor(t, fmt.Sprintf("pid %d has a child", pid), func() bool {
		pids = family(pid)
		return len(pids) > 1
	})
	return pids[1]
}

// waitFor waits until something is so, which it is sooner or later.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so after a minute: %s", what)
		}
	}
}

// end kills a process and waits until it is gone.
func end(t *testing.T, pid int) {
	t.Helper()
	_ = unix.Kill(pid, unix.SIGKILL)
	waitFor(t, fmt.Sprintf("pid %d is gone", pid), func() bool { return !alive(pid) })
}

// alive tells whether there is a process that has not ended.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	rest := string(b[strings.LastIndexByte(string(b), ')')+1:])
	return !strings.HasPrefix(rest, " Z")
}

// status is what a service says of itself.
type status struct {
	PID    int
	Client int
	Count  int64
	Local  string
	Remote string
	Host   string
	Clock  int64
}

// ask asks the service that has pid as the first task of its container.
func ask(pid int) (s status, err error) {
	conn, err := net.DialTimeout("unix", fmt.Sprintf("/proc/%d/root/tmp/ask", pid), time.Minute)
	if err != nil {
		return s, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	return s, json.NewDecoder(conn).Decode(&s)
}

// counting waits until the service has counted on.
func counting(t *testing.T, pid int) status {
	t.Helper()
	var was, is status
	waitFor(t, fmt.Sprintf("pid %d counts", pid), func() bool {
		var err error
		is, err = ask(pid)
		if err != nil {
			if !alive(pid) {
				t.Fatalf("pid %d is gone: %v", pid, err)
			}
			return false
		}
		if was.Count == 0 {
			was = is
		}
		return is.Count > was.Count+3
	})
	return is
}

// nspid returns the numbers of a process, level by level.
func nspid(t *testing.T, pid int) []string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "NSpid:"); ok {
			return strings.Fields(rest)
		}
	}
	t.Fatalf("pid %d has no NSpid", pid)
	return nil
}

// compareShapes asks the kernel whether what was there before is there again.
func compareShapes(t *testing.T, before shape, r restored) {
	t.Helper()
	live, after := map[string]string{}, shape{}
	for _, n := range r.Namespaces {
		if n.Path == "" {
			continue
		}
		got, err := after.add(n.Path)
		if err != nil {
			t.Fatalf("%s: %v", n.Image, err)
		}
		if got != n.Live {
			t.Errorf("%s: %s leads to %s, not to %s", n.Image, n.Path, got, n.Live)
		}
		live[n.Image] = n.Live
	}
	for name := range taskShape(t, []int{os.Getpid()}) { // the host's are as before
		delete(before, name)
		delete(after, name)
	}
	if diff := cmp.Diff(before.translate(live), after); diff != "" {
		t.Errorf("owners and parents, by ioctl (-before +after):\n%s", diff)
	}
}

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

// serving is a service in a container, with another in it.
func serving(root string, child *level) *level {
	l := level{New: everything(), Outside: 1000, Count: 60000, Hostname: "in " + filepath.Base(root), Root: root, Serve: true, Child: child}
	for c := child; c != nil; c = c.Child {
		c.Count -= 2000
	}
	return &l
}

// outermost gives a container ids of the host's.
func outermost(l *level) level {
	l.Outside = 100000
	return *l
}

// free has a container take the ids that levels gives it.
func free(l *level) level {
	l.Outside, l.Count = 0, 0
	return *l
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
	spec := outermost(serving(c.rootfs(t), serving("/inner", nil)))
	spec.Deputy = "waits"
	outer := startCounter(t, spec)
	inner := innerOf(t, outer)
	dir := t.TempDir()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

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
	for range 8 {
		c.killed(t, time.Duration(random.Int64N(int64(took))), "criu", "restore", "--criu", c.path, "-D", dir, "--name", name)
		if standing(t, name) {
			renest(t, 0, "rm", name)
		}
	}
	r := c.restore(t, dir, name)
	for i, pid := range r.pids {
		if after := counting(t, pid); after.Count <= before[i].Count || after.Remote != before[i].Remote {
			t.Errorf("layer %d: %+v before, %+v after", i, before[i], after)
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

// traced tells whether a process has a tracer.
func traced(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && !strings.Contains(string(b), "TracerPid:\t0\n")
}

// renestFails runs renest where it is to fail, and returns what it says.
func renestFails(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(program(t, "renest"), args...).CombinedOutput()
	if err == nil {
		t.Errorf("renest %s succeeds", strings.Join(args, " "))
	}
	return string(out)
}

// innerOf returns the child of a service that is the first of a container.
func innerOf(t *testing.T, outer int) (pid int) {
	t.Helper()
	waitFor(t, fmt.Sprintf("pid %d has a container", outer), func() bool {
		for _, pid = range family(outer)[1:] {
			if n := nspid(t, pid); n[len(n)-1] == "1" && len(n) == len(nspid(t, outer))+1 {
				return !sameRoot(outer, pid) // where it is still to arrive
			}
		}
		return false
	})
	return pid
}

// sameRoot tells whether two processes have one root directory.
func sameRoot(a, b int) bool {
	one, err1 := os.Stat(fmt.Sprintf("/proc/%d/root/.", a))
	two, err2 := os.Stat(fmt.Sprintf("/proc/%d/root/.", b))
	return err1 != nil || err2 != nil || os.SameFile(one, two)
}

func parentOf(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	ppid, err := strconv.Atoi(f[1])
	if err != nil {
		t.Fatal(err)
	}
	return ppid
}
