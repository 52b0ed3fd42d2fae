//go:build linux

package dump

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/test/require"
	"github.com/renest/renest/topology"
)

// TestBindMounts has a namespace that is mounted on a file with an odd name.
func TestBindMounts(t *testing.T) {
	asUser(t)
	const path = "/tmp/a b\n - nsfs \\012\t#\xff"
	root := nest(t)
	a := fork(t, root, nsfs.User|nsfs.Mnt)
	b := fork(t, a, nsfs.Net)
	var p agent.Program
	at := agent.Int(unix.AT_FDCWD)
	p.Call("mount tmpfs", unix.SYS_MOUNT, agent.String("none"), agent.String("/tmp"), agent.String("tmpfs"), agent.Int(0), agent.Int(0))
	p.Call("mknod", unix.SYS_MKNODAT, at, agent.String(path), agent.Int(unix.S_IFREG|0o600), agent.Int(0))
	p.Call("bind", unix.SYS_MOUNT, agent.String("/proc/"+strconv.Itoa(b.PID())+"/ns/net"), agent.String(path), agent.Int(0),
		agent.Int(unix.MS_BIND), agent.Int(0))
	if err := a.Run(t.Context(), &p); err != nil {
		t.Fatal(err)
	}
	exit(t, b)
	g := tree(t, root.PID())
	wantComplete(t, g)
	nets, mnts := own(g, topology.Net), own(g, topology.Mnt)
	if len(nets) != 1 || len(mnts) != 1 {
		t.Fatalf("%d net, %d mnt namespaces", len(nets), len(mnts))
	}
	want := topology.Pin{Kind: topology.PinBind, Path: path, Mnt: mnts[0]}
	if len(nets[0].Pins) != 1 || nets[0].Pins[0] != want {
		t.Errorf("pins %+v, want %+v", nets[0].Pins, want)
	}
}

// TestManyMounts has ten thousand mounts in one mount namespace, and among them
// one of a namespace.
func TestManyMounts(t *testing.T) {
	asUser(t)
	const many = 10_000
	root := nest(t)
	a := fork(t, root, nsfs.User|nsfs.Mnt)
	b := fork(t, a, nsfs.UTS)
	bind := func(p *agent.Program, from, to string) {
		p.Call("bind", unix.SYS_MOUNT, agent.String(from), agent.String(to), agent.Int(0), agent.Int(unix.MS_BIND), agent.Int(0))
	}
	var p agent.Program
	p.Call("mount tmpfs", unix.SYS_MOUNT, agent.String("none"), agent.String("/tmp"), agent.String("tmpfs"), agent.Int(0), agent.Int(0))
	p.Call("make it private", unix.SYS_MOUNT, agent.Int(0), agent.String("/tmp"), agent.Int(0), agent.Int(unix.MS_PRIVATE), agent.Int(0))
	for i := range 100 {
		p.Call("mkdir", unix.SYS_MKDIRAT, agent.Int(unix.AT_FDCWD), agent.String(fmt.Sprintf("/tmp/%d", i)), agent.Int(0o700))
	}
	p.Call("mknod", unix.SYS_MKNODAT, agent.Int(unix.AT_FDCWD), agent.String("/tmp/uts"), agent.Int(unix.S_IFREG|0o600), agent.Int(0))
	if err := a.Run(t.Context(), &p); err != nil {
		t.Fatal(err)
	}
	for done := 0; done < many; {
		var p agent.Program
		if done == many/2 {
			bind(&p, "/proc/"+strconv.Itoa(b.PID())+"/ns/uts", "/tmp/uts")
		}
		for range 500 {
			dir := fmt.Sprintf("/tmp/%d", done%100)
			bind(&p, dir, dir)
			done++
		}
		if err := a.Run(t.Context(), &p); err != nil {
			t.Fatal(err)
		}
	}
	exit(t, b)
	g := tree(t, root.PID())
	wantComplete(t, g)
	if uts := own(g, topology.UTS); len(uts) != 1 || len(uts[0].Pins) != 1 || uts[0].Pins[0].Path != "/tmp/uts" {
		t.Errorf("uts namespaces %+v", uts)
	}
}

// TestThread has a thread with namespaces of its own.
func TestThread(t *testing.T) {
	require.Root(t)
	tid, stop, done := make(chan int), make(chan struct{}), make(chan struct{})
	onThread(func() {
		defer close(done)
		if err := unix.Unshare(unix.CLONE_NEWUTS | unix.CLONE_NEWNET); err != nil {
			t.Error(err)
		}
		tid <- unix.Gettid()
		<-stop
	})
	defer func() { close(stop); <-done }()
	want := <-tid
	g := tree(t, os.Getpid())
	for _, task := range g.Tasks {
		if task.TID != want {
			continue
		}
		uts := task.Namespaces[topology.InUTS]
		if task.PID != os.Getpid() || uts == nil || uts.External || uts.UTS == nil {
			t.Errorf("thread %+v", task)
		}
		if got := uts.Pins; len(got) != 1 || got[0] != (topology.Pin{Kind: topology.PinThread, PID: os.Getpid(), TID: want}) {
			t.Errorf("pins %+v", got)
		}
		return
	}
	t.Errorf("thread %d is not in it", want)
}

// onThread runs f on a thread of its own, which is not the leader and ends with f.
func onThread(f func()) {
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != os.Getpid() {
			f()
			return // locked: the thread is not given back
		}
		defer runtime.UnlockOSThread()
		done := make(chan struct{})
		onThread(func() { defer close(done); f() })
		<-done
	}()
}

// TestSourcesAgree dumps one tree by each source.
func TestSourcesAgree(t *testing.T) {
	require.Root(t)
	require.That(t, "listns", nsfs.HaveListns())
	root := nest(t)
	fork(t, fork(t, root, nsfs.User|nsfs.UTS|nsfs.PID), nsfs.User|nsfs.PID|nsfs.Net|nsfs.Time)
	var got [2][]string
	for i, source := range []Source{Listns, Proc} {
		g, err := Tree(t.Context(), root.PID(), Options{Source: source})
		if err != nil {
			t.Fatal(err)
		}
		wantComplete(t, g)
		if g.Header.Source != source.String() {
			t.Errorf("source %s", g.Header.Source)
		}
		for _, n := range g.Namespaces {
			line := fmt.Sprint(n.Name(), n.ID, n.External, n.State)
			if n.Owner != nil {
				line += " of " + n.Owner.Name()
			}
			if n.Parent != nil {
				line += " below " + n.Parent.Name()
			}
			got[i] = append(got[i], line)
		}
	}
	if diff := cmp.Diff(got[0], got[1]); diff != "" {
		t.Errorf("(-listns +proc):\n%s", diff)
	}
}
