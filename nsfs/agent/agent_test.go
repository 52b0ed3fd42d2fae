//go:build linux && (amd64 || arm64)

package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// begin returns a crew that the test is to see ended.
func begin(t testing.TB, o Options) *Crew {
	t.Helper()
	proc, err := os.Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	o.Proc = proc
	c, err := Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// start returns a crew that is gone, to the last process, at the test's end.
func start(t testing.TB) *Crew {
	t.Helper()
	c := begin(t, Options{Name: "renest: " + t.Name()})
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		for _, a := range c.agents {
			if c.has(a.PID()) && !c.over {
				t.Errorf("agent %d is still there", a.PID())
			}
		}
	})
	return c
}

func fork(t testing.TB, a *Agent, flags uint64) *Agent {
	t.Helper()
	child, err := a.Fork(context.Background(), "fork", ForkOptions{Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	return child
}

func run(t testing.TB, a *Agent, p *Program) {
	t.Helper()
	if err := a.Run(context.Background(), p); err != nil {
		t.Fatal(err)
	}
}

func TestRun(t *testing.T) {
	root := start(t).Root()
	buf := NewBuffer(64)
	var p Program
	fd := p.Call("open", unix.SYS_OPENAT, Int(ProcFD), String("self/comm"), Int(unix.O_RDONLY|unix.O_CLOEXEC))
	n := p.Call("read", unix.SYS_READ, fd.Ret(), Out(buf), Int(64))
	p.Call("close", unix.SYS_CLOSE, fd.Ret())
	pid := p.Call("getpid", unix.SYS_GETPID)
	run(t, root, &p)
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", root.PID()))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(buf.Bytes(n.Value())); got != string(comm) {
		t.Errorf("comm: %q, /proc has %q", got, comm)
	}
	if pid.Value() != root.PID() {
		t.Errorf("getpid %d, PID %d", pid.Value(), root.PID())
	}
}

func TestRunStopsAtFirstFailure(t *testing.T) {
	root := start(t).Root()
	var p Program
	allowed := p.Call("close nothing", unix.SYS_CLOSE, Int(-1)).MayFail()
	p.Call("open nowhere", unix.SYS_OPENAT, Int(unix.AT_FDCWD), String("/does/not/exist"), Int(0))
	after := p.Call("getpid", unix.SYS_GETPID)
	err := root.Run(context.Background(), &p)
	var ce *CallError
	if !errors.As(err, &ce) || ce.What != "open nowhere" || !errors.Is(err, unix.ENOENT) {
		t.Errorf("error %v, want that of the open", err)
	}
	if !errors.Is(allowed.Err(), unix.EBADF) {
		t.Errorf("allowed failure: %v", allowed.Err())
	}
	if after.Value() != 0 {
		t.Error("the call after the failure was made")
	}
	run(t, root, &Program{})
}

func TestForkIntoNamespaces(t *testing.T) {
	c := start(t)
	child := fork(t, c.Root(), unix.CLONE_NEWUSER|unix.CLONE_NEWPID|unix.CLONE_NEWUTS)
	var p Program
	pid := p.Call("getpid", unix.SYS_GETPID)
	run(t, child, &p)
	if pid.Value() != 1 {
		t.Errorf("pid %d in its own namespace, want 1", pid.Value())
	}
	for _, ns := range []string{"user", "pid", "uts", "net"} {
		mine, err := os.Readlink("/proc/self/ns/" + ns)
		if err != nil {
			t.Fatal(err)
		}
		its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", child.PID(), ns))
		if err != nil {
			t.Fatal(err)
		}
		if (mine == its) != (ns == "net") {
			t.Errorf("%s: child %s, maker %s", ns, its, mine)
		}
	}
}

// TestSharedDescriptors has one agent open what another enters.
func TestSharedDescriptors(t *testing.T) {
	c := start(t)
	inner := fork(t, c.Root(), unix.CLONE_NEWUSER|unix.CLONE_NEWUTS)
	var p Program
	user := p.Call("open user", unix.SYS_OPENAT, Int(inner.Dir()), String("ns/user"), Int(unix.O_RDONLY|unix.O_CLOEXEC))
	run(t, inner, &p)
	other := fork(t, c.Root(), 0)
	var q Program
	q.Call("setns", unix.SYS_SETNS, Int(user.Value()), Int(unix.CLONE_NEWUSER))
	run(t, other, &q)
	a, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/user", inner.PID()))
	b, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/user", other.PID()))
	if a == "" || a != b {
		t.Errorf("in %q and %q", a, b)
	}
}

// TestMakerKilled kills a maker that has forked agents into pid namespaces and
// left something to undo, and sees all of it gone.
func TestMakerKilled(t *testing.T) {
	if dir := os.Getenv("AGENT_TEST_MAKER"); dir != "" {
		c := start(t)
		inner := fork(t, fork(t, c.Root(), unix.CLONE_NEWUSER|unix.CLONE_NEWPID), unix.CLONE_NEWPID)
		file := filepath.Join(dir, "undo")
		if err := c.Undo(unix.SYS_UNLINKAT, Int(unix.AT_FDCWD), String(file), Int(0)); err != nil {
			t.Fatal(err)
		}
		pids := fmt.Sprintln(c.Guardian().PID(), c.Root().PID(), inner.PID())
		if err := os.WriteFile(file, []byte(pids), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "pids"), []byte(pids), 0o600); err != nil {
			t.Fatal(err)
		}
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	}
	dir := t.TempDir()
	cmd := exec(t, "TestMakerKilled", "AGENT_TEST_MAKER="+dir)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("maker: %v\n%s", err, out)
	}
	pids, err := os.ReadFile(filepath.Join(dir, "pids"))
	if err != nil {
		t.Fatal(err)
	}
	var pid [3]int
	if _, err := fmt.Sscan(string(pids), &pid[0], &pid[1], &pid[2]); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		left := 0
		for _, p := range pid {
			if sid, err := unix.Getsid(p); err == nil && sid == pid[0] {
				left++
			}
		}
		_, err := os.Stat(filepath.Join(dir, "undo"))
		if left == 0 && errors.Is(err, os.ErrNotExist) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d processes left, undo file: %v", left, err)
		}
	}
}

// TestForkUnderLoad forks while all processors are busy, so that children come
// to run long after their parents are done.
func TestForkUnderLoad(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	for range 2 * runtime.NumCPU() {
		go func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
			}
		}()
	}
	c := start(t)
	for range 50 {
		var p Program
		var children [8]*Agent
		for i := range children {
			children[i] = p.Fork(c, "fork", ForkOptions{})
		}
		run(t, c.Root(), &p)
		for range 4 { // reuses the memory
			var q Program
			for range len(children) {
				q.Call("getpid", unix.SYS_GETPID)
			}
			run(t, c.Root(), &q)
		}
		for _, child := range children {
			if err := child.Exit(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestAgentKilled(t *testing.T) {
	c := start(t)
	a := fork(t, c.Root(), 0)
	if err := unix.Kill(a.PID(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := a.Run(context.Background(), &Program{}); !errors.Is(err, ErrDied) {
		t.Errorf("error %v, want ErrDied", err)
	}
}

// TestRefusedBefore wants nothing to be started then.
func TestRefusedBefore(t *testing.T) {
	want := errors.New("no")
	if _, err := Start(t.Context(), Options{Before: func(*Crew) error { return want }}); !errors.Is(err, want) {
		t.Errorf("start: %v", err)
	}
}

func TestCancel(t *testing.T) {
	c := start(t)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	var p Program
	p.Call("ppoll", unix.SYS_PPOLL, Int(0), Int(0), Int(0), Int(0), Int(0))
	if err := c.Root().Run(ctx, &p); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

// TestHold commits a crew whose one pid namespace is kept by its init, and
// whose guardian holds a UTS namespace by a descriptor.
func TestHold(t *testing.T) {
	ctx := context.Background()
	c := start(t)
	init := fork(t, c.Root(), unix.CLONE_NEWUSER|unix.CLONE_NEWPID)
	tmp := fork(t, init, unix.CLONE_NEWUTS)
	var p Program
	uts := p.Call("open uts", unix.SYS_OPENAT, Int(tmp.Dir()), String("ns/uts"), Int(unix.O_RDONLY|unix.O_CLOEXEC))
	run(t, tmp, &p)
	if err := init.Hold(ctx); err != nil {
		t.Fatal(err)
	}
	var bad Program
	bad.Call("fail", unix.SYS_CLOSE, Int(-1))
	if err := c.Commit(ctx, &bad, nil); !errors.Is(err, unix.EBADF) {
		t.Fatalf("commit of a failing program: %v", err)
	}
	if err := c.Commit(ctx, &Program{}, []int{uts.Value()}); err != nil {
		t.Fatal(err)
	}
	guardian, holder := c.Guardian().PID(), init.PID()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Kill(guardian, unix.SIGKILL) }()
	defer func() { _ = unix.Kill(holder, unix.SIGKILL) }()

	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", guardian))
	if err != nil || len(fds) != 1 {
		t.Errorf("guardian has %d descriptors, want one: %v", len(fds), err)
	}
	if fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", holder)); err != nil || len(fds) != 0 {
		t.Errorf("holder has %d descriptors, want none: %v", len(fds), err)
	}
	smaps, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", holder))
	if err != nil {
		t.Fatal(err)
	}
	var pss int
	for line := range strings.Lines(string(smaps)) {
		_, _ = fmt.Sscanf(line, "Pss: %d kB", &pss)
	}
	if pss > 16 {
		t.Errorf("holder: %d KiB PSS, budget is 16", pss)
	}
	t.Logf("holder: %d KiB PSS", pss)
}

func BenchmarkRun(b *testing.B) {
	root := start(b).Root()
	for b.Loop() {
		var p Program
		p.Call("getpid", unix.SYS_GETPID)
		run(b, root, &p)
	}
}

func BenchmarkFork(b *testing.B) {
	root := start(b).Root()
	for b.Loop() {
		if err := fork(b, root, 0).Exit(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkForkContainer(b *testing.B) {
	root := start(b).Root()
	for b.Loop() {
		a := fork(b, root, unix.CLONE_NEWUSER|unix.CLONE_NEWPID|unix.CLONE_NEWUTS|unix.CLONE_NEWIPC|unix.CLONE_NEWNS)
		if err := a.Exit(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
