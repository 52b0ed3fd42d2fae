//go:build linux

package dump

import (
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/test/require"
	"github.com/renest/renest/topology"
)

// TestLinks has the same tree read by its links and by pidfds: namespaces that are
// shared, and ones of its own, of which one has no init yet.
func TestLinks(t *testing.T) {
	asUser(t)
	p := testProc(t)
	require.That(t, "nsid", nsfs.HaveNSID(p))
	require.That(t, "pidfd-namespaces", nsfs.HavePIDFDNamespaces(p))
	root := fork(t, nest(t), nsfs.User|nsfs.PID|nsfs.UTS)
	fork(t, root, 0)
	fork(t, root, nsfs.User|nsfs.PID|nsfs.Net)
	call(t, fork(t, root, nsfs.User|nsfs.IPC), "unshare", unix.SYS_UNSHARE, agent.Int(unix.CLONE_NEWPID|unix.CLONE_NEWTIME))
	look := func(pidfds bool) []topology.Task {
		g, err := run(t.Context(), Options{}, func(d *dumper) error {
			d.root, d.pidfds = root.PID(), pidfds
			return d.scanTree(TaskReference{nsfs.TaskLocator{PID: d.root}})
		})
		if err != nil {
			t.Fatal(err)
		}
		wantComplete(t, g)
		var tasks []topology.Task
		for _, task := range g.Tasks {
			tasks = append(tasks, *task)
		}
		return tasks
	}
	byName := cmp.Transformer("name", (*topology.Namespace).Name)
	if diff := cmp.Diff(look(false), look(true), byName); diff != "" {
		t.Errorf("tasks (-by link +by pidfd):\n%s", diff)
	}
}

// TestFewDescriptors dumps with hardly a descriptor to spare, and misses nothing for
// it: what is quicker with more of them is done with fewer.
func TestFewDescriptors(t *testing.T) {
	asUser(t)
	root := fork(t, nest(t), nsfs.User|nsfs.PID|nsfs.UTS)
	fork(t, root, nsfs.User|nsfs.PID|nsfs.Net)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2)) // each core takes some
	var usual unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &usual); err != nil {
		t.Fatal(err)
	}
	few := usual
	few.Cur = leaves(10)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &usual); err != nil {
			t.Error(err)
		}
	}()
	g, err := Tree(t.Context(), root.PID(), Options{NoState: true})
	if err != nil {
		t.Fatal(err)
	}
	wantComplete(t, g)
	if n := len(own(g, topology.PID)); n != 2 {
		t.Errorf("%d pid namespaces, want 2", n)
	}
}

// leaves returns the limit of open files that leaves so many to be opened.
func leaves(spare int) (limit uint64) {
	for ; spare > 0; limit++ {
		if _, err := unix.FcntlInt(uintptr(limit), unix.F_GETFD, 0); err == unix.EBADF {
			spare--
		}
	}
	return limit
}
