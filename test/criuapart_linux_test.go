package test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/renest/renest/test/require"
)

// TestCRIUApart dumps a service in a UTS, an ipc and a cgroup namespace of its own, beside
// tasks of the same container that are not in them, as systemd's ProtectHostname,
// PrivateIPC and ProtectControlGroups=private make them. CRIU alone refuses that.
func TestCRIUApart(t *testing.T) {
	if testing.Short() { // see TestCRIUParent, whose shim is in one
		return
	}
	require.Command(t, "nsenter", "nsenter")
	c := newCRIU(t)
	types := []string{"uts", "ipc", "cgroup", "time"}
	child := func() *level { return &level{New: types, Hostname: "service", Offset: 86400, Serve: true} }
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
			top := startCounterIn(t, newCgroup(t), levels(tt.depth, tt.root))
			root := descend(t, top, tt.depth)
			serving := descend(t, root, 2)
			before, cgroups := counting(t, serving), cgroupsFrom(t, serving)
			wantTaken(t, root, 1)
			shape := taskShape(t, family(top))

			dir := t.TempDir()
			renest(t, 0, "criu", "dump", "--criu", c.path, "-t", strconv.Itoa(root), "-D", dir)
			end(t, top)
			renest(t, 0, "show", dir) // 1 where CRIU's images disagree
			r := c.restore(t, dir, uniqueName("uts"))
			now := descend(t, r.pids[0], 2)
			after := counting(t, now)
			if after.Count <= before.Count || after.Clock < before.Clock {
				t.Errorf("it counted to %d at %ds, and is at %d at %ds", before.Count, before.Clock, after.Count, after.Clock)
			}
			before.Count, after.Count, before.Clock, after.Clock = 0, 0, 0, 0
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("service (-before +after):\n%s", diff)
			}
			if diff := cmp.Diff(cgroups, cgroupsFrom(t, now)); diff != "" {
				t.Errorf("this cgroup from its cgroup namespace (-before +after):\n%s", diff)
			}
			for _, typ := range types {
				if one := ofThreads(t, now, typ); len(one) != 1 || one[0] == ofThreads(t, r.pids[0], typ)[0] {
					t.Errorf("its threads are in %v, those of the root in %v", one, ofThreads(t, r.pids[0], typ))
				}
			}
			compareShapes(t, shape, r.restored)
		})
	}
}

// newCgroup makes a cgroup.
func newCgroup(t *testing.T) *os.File {
	t.Helper()
	mount := ""
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
			mount = dir
		}
	}
	if mount == "" {
		require.That(t, "cgroup2", errors.New("not mounted"))
	}
	dir := filepath.Join(mount, "renest-"+uniqueName("apart"))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { waitFor(t, "the cgroup is empty", func() bool { return os.Remove(dir) == nil }) })
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// cgroupsFrom returns where this process's cgroup is from the cgroup namespace of another:
// it tells where that is rooted.
func cgroupsFrom(t *testing.T, pid int) string {
	t.Helper()
	text, err := exec.Command("nsenter", "-t", strconv.Itoa(pid), "-C", "cat", "/proc/self/cgroup").Output()
	if err != nil {
		t.Fatal(err)
	}
	_, path, _ := strings.Cut("\n"+string(text), "\n0::")
	path, _, _ = strings.Cut(path, "\n")
	return path
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

// TestCRIUApartRefused has something in such an ipc namespace, which would be lost, and
// processes of several threads in namespaces that they could not enter again.
func TestCRIUApartRefused(t *testing.T) {
	if testing.Short() {
		return
	}
	require.Command(t, "nsenter", "nsenter")
	c := newCRIU(t)
	for name, test := range map[string]struct {
		child  level
		deputy bool // it is in a container that has one
		there  func(pid int) bool
		want   string
	}{
		"queue": {level{New: []string{"ipc"}, Queue: true}, false, func(pid int) bool {
			b, err := exec.Command("nsenter", "-t", strconv.Itoa(pid), "-i", "cat", "/proc/sysvipc/msg").Output()
			return err == nil && strings.Count(string(b), "\n") > 1
		}, "where there are message queues"},
		"threads and clocks below a shim": {level{New: []string{"time"}}, true, func(pid int) bool {
			return threadsIn(t, pid, "time")
		}, "only a process of one thread can enter it again"},
		"threads and users": {level{New: []string{"user"}, Count: 3000}, false, func(pid int) bool {
			return threadsIn(t, pid, "user")
		}, "only a process of one thread can enter it again"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := outermost(serving(c.rootfs(t), &test.child))
			if test.deputy {
				spec = outermost(serving(spec.Root, serving("/inner", &test.child)))
				spec.Deputy = "waits"
			}
			top := startCounter(t, spec)
			before, container := counting(t, top), top
			if test.deputy {
				container = innerOf(t, top)
			}
			waitFor(t, "it is as it was to be", func() bool { return test.there(first(t, container)) })
			out := renestFails(t, "criu", "dump", "--criu", c.path, "-t", strconv.Itoa(top), "-D", t.TempDir())
			if !strings.Contains(out, test.want) {
				t.Errorf("renest says %q", out)
			}
			if after := counting(t, top); after.Count <= before.Count {
				t.Errorf("%+v before, %+v after", before, after)
			}
		})
	}
}

// TestCRIUApartSibling restores threads in a time namespace as a child of renest, where
// they cannot be led into it, and then not so.
func TestCRIUApartSibling(t *testing.T) {
	if testing.Short() {
		return
	}
	c := newCRIU(t)
	root := c.rootfs(t)
	top := startCounter(t, outermost(serving(root, &level{New: []string{"time"}, Offset: 86400})))
	before := counting(t, top)
	waitFor(t, "it has threads", func() bool { return threadsIn(t, first(t, top), "time") })
	dir := t.TempDir()
	renest(t, 0, "criu", "dump", "--criu", c.path, "-t", strconv.Itoa(top), "-D", dir)
	out := renestFails(t, "criu", "restore", "--criu", c.path, "-D", dir, "-S", "--name", uniqueName("no-child"))
	if !strings.Contains(out, "restore it without being its parent (-S)") {
		t.Errorf("renest says %q", out)
	}
	waitFor(t, "no process is left", func() bool { return len(rootedAt(t, root)) == 0 })
	r := c.restore(t, dir, uniqueName("child"))
	if after := counting(t, r.pids[0]); after.Count <= before.Count {
		t.Errorf("%+v before, %+v after", before, after)
	}
	if !slices.ContainsFunc(family(r.pids[0])[1:], func(pid int) bool { return threadsIn(t, pid, "time") }) {
		t.Error("no process has threads in a time namespace of its own")
	}
}

// threadsIn reports whether a process has several threads in a namespace that is not its
// parent's.
func threadsIn(t *testing.T, pid int, typ string) bool {
	t.Helper()
	threads, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*")
	in := ofThreads(t, pid, typ)
	return len(threads) > 1 && len(in) == 1 && !slices.Equal(in, ofThreads(t, parentOf(t, pid), typ))
}

// TestCRIUApartAlone has processes of one thread in namespaces that nobody with several
// can enter: in time namespaces, and in user namespaces, with others that those own.
func TestCRIUApartAlone(t *testing.T) {
	if testing.Short() {
		return
	}
	c := newCRIU(t)
	const container = "user=0:100000:65536 "
	for name, test := range map[string]struct {
		above, tokens string
		layers, tasks int
	}{
		"time":                {"", "reap ( time ( ) leave )", 1, 2},
		"a child left behind": {"", "( ( sid ( ) ) time ( reap ( time ( ) leave ) ( ) ) join=time ) ( )", 1, 8},
		"user":                {"", "( user=0:100000:65536 euid=1000 sid ( ) )", 1, 3},
		"user in user":        {container, "( user=0:1000:1000 user=0:10:100 sid ) ( user=0:2000:10 )", 1, 3},
		"what it owns":        {container + "net ", "( user=0:1000:1000 uts ipc cgroup net sid ( ) )", 1, 3},
		"setgroups denied":    {container, "group=5 ( deny=0:1000:1000 sid )", 1, 2},
		"groups, denied":      {"group=100101-100228 " + container, "( deny=0:1:1000 sid )", 1, 2},
		"root is not mapped":  {container, "( user=5:1005:1000 euid=7 )", 1, 2},
		"a container's child": {container, "( user=0:1000:1000 sid pid ( mnt pivot=/inner sid ) )", 2, 3},
	} {
		t.Run(name, func(t *testing.T) {
			dir := shapeRoot(t)
			if out, err := exec.Command("sh", "-c", "cd "+dir+" && mkdir inner inner/proc inner/tmp && cp -p shape null inner && chmod 777 inner").CombinedOutput(); err != nil {
				t.Fatalf("make a root directory: %v\n%s", err, out)
			}
			s := startShape(t, test.above+"mnt pid uts ipc ( name=root pivot="+dir+" sid "+test.tokens+" ) leave")
			waitFor(t, "nobody is to end", func() bool { return len(family(s.root)) == test.tasks })
			shape, rights := taskShape(t, family(s.root)), rightsOfAll(t, s.root)
			wantTaken(t, s.root, test.layers)
			images := t.TempDir()
			renest(t, 0, "criu", "dump", "--criu", c.path, "-t", strconv.Itoa(s.root), "-D", images)
			renest(t, 0, "show", images)
			r := c.restore(t, images, uniqueName("alone"))
			if diff := cmp.Diff(rights, rightsOfAll(t, r.pids[0])); diff != "" {
				t.Errorf("the tasks' rights (-before +after):\n%s", diff)
			}
			compareShapes(t, shape, r.restored)
		})
	}
}

// rightsOfAll returns what the tasks of a tree may do.
func rightsOfAll(t *testing.T, root int) (list []string) {
	t.Helper()
	for _, pid := range family(root) {
		list = append(list, rightsOf(t, pid))
	}
	slices.Sort(list) // CRIU keeps no order of children
	return list
}

// TestCRIUCredentials has tasks with groups that CRIU could not give them again: its
// restore would fail, with the tree gone.
func TestCRIUCredentials(t *testing.T) {
	if testing.Short() {
		return
	}
	c := newCRIU(t)
	for name, test := range map[string]struct{ tokens, want string }{
		"not mapped": {"group=5 user=0:100000:65536 mnt pid uts ipc ( name=root pivot=DIR sid ) leave", "the supplementary group 5 is not mapped there"},
		"denied":     {"group=100005 deny=0:100000:65536 mnt pid uts ipc ( name=root pivot=DIR sid ) leave", "setgroups(2) is denied there"},
		"too many":   {"group=100101-100229 user=0:100000:65536 mnt pid uts ipc ( name=root pivot=DIR sid ( deny=0:1:1000 ) ) leave", "has 129 supplementary groups, and setgroups(2) is denied in"},
		"apart":      {"group=5 user=0:100000:65536 mnt pid uts ipc ( name=root pivot=DIR sid ( user=0:1000:10 ) ) leave", "a restore cannot give it that; start it without"},
	} {
		t.Run(name, func(t *testing.T) {
			s := startShape(t, strings.ReplaceAll(test.tokens, "DIR", shapeRoot(t)))
			out := renestFails(t, "criu", "dump", "--criu", c.path, "-t", strconv.Itoa(s.root), "-D", t.TempDir())
			if !strings.Contains(out, test.want) || !alive(s.root) {
				t.Errorf("it lives: %v, renest says %q", alive(s.root), out)
			}
		})
	}
}
