//go:build linux

package dump

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/test/require"
	"github.com/renest/renest/topology"
)

func testHost(t testing.TB) *Host {
	t.Helper()
	h, err := OpenHost()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func reference(t testing.TB, format string, args ...any) Reference {
	t.Helper()
	r, err := ParseReference(fmt.Sprintf(format, args...))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// refOf returns the kernel's name of a namespace of an agent's.
func refOf(t testing.TB, a *agent.Agent, l nsfs.Link) nsfs.Ref {
	t.Helper()
	h := testHost(t)
	task, err := h.proc.Task(a.PID())
	if err != nil {
		t.Fatal(err)
	}
	defer task.Close()
	ref, err := task.Ref(l)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// wantOpen opens a reference and wants it to be that namespace; and again by the
// id that it has.
func wantOpen(t *testing.T, h *Host, r Reference, want nsfs.Ref) {
	t.Helper()
	ns, err := h.Open(t.Context(), r)
	if err != nil {
		t.Errorf("%s: %v", r, err)
		return
	}
	defer ns.Close()
	if got, err := ns.Ref(); err != nil || got != want {
		t.Errorf("%s is %v, %v; want %v", r, got, err, want)
	}
	id, err := ns.ID()
	if err != nil || strings.HasPrefix(r.String(), ":") {
		return // before Linux 6.18
	}
	ns.Close() // which is then no way to it any more
	wantOpen(t, h, reference(t, "%s", id), want)
}

// TestOpenByName finds namespaces of which only the name or the id is known, by
// whatever holds them.
func TestOpenByName(t *testing.T) {
	asUser(t)
	h, root := testHost(t), nest(t)
	inside := fork(t, root, nsfs.User|nsfs.UTS|nsfs.Mnt)
	wantOpen(t, h, reference(t, "%s", refOf(t, inside, nsfs.InUTS)), refOf(t, inside, nsfs.InUTS))

	call(t, inside, "unshare", unix.SYS_UNSHARE, agent.Int(unix.CLONE_NEWTIME))
	wantOpen(t, h, reference(t, "%s", refOf(t, inside, nsfs.TimeForChildren)), refOf(t, inside, nsfs.TimeForChildren))

	held := fork(t, inside, nsfs.Net)
	byFD := refOf(t, held, nsfs.InNet)
	openNS(t, root, held, nsfs.InNet)
	exit(t, held)
	wantOpen(t, h, reference(t, "%s", byFD), byFD)

	hole := fork(t, inside, nsfs.User)
	deep := fork(t, hole, nsfs.User|nsfs.UTS)
	owner, parent := refOf(t, deep, nsfs.InUser), refOf(t, hole, nsfs.InUser)
	openNS(t, root, deep, nsfs.InUTS)
	exit(t, deep)
	exit(t, hole)
	wantOpen(t, h, reference(t, "%s", owner), owner)
	wantOpen(t, h, reference(t, "%s", parent), parent)

	bound := fork(t, inside, nsfs.IPC)
	byBind := refOf(t, bound, nsfs.InIPC)
	bind(t, inside, bound, nsfs.InIPC)
	exit(t, bound)
	wantOpen(t, h, reference(t, "%s", byBind), byBind)
}

// TestOpenBySocket finds a net namespace that nothing but a socket holds.
func TestOpenBySocket(t *testing.T) {
	require.Root(t) // to take a copy of another's socket, and ask for its namespace
	root := nest(t)
	a := fork(t, root, nsfs.Net)
	want := refOf(t, a, nsfs.InNet)
	call(t, a, "socket", unix.SYS_SOCKET, agent.Int(unix.AF_INET), agent.Int(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC), agent.Int(0))
	exit(t, a)
	h := testHost(t)
	ns, err := h.Open(t.Context(), reference(t, "%s", want))
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	if got, err := ns.Ref(); err != nil || got != want {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

// bind has a mount a namespace of another in its mount namespace.
func bind(t testing.TB, a, of *agent.Agent, l nsfs.Link) {
	t.Helper()
	var p agent.Program
	at := agent.Int(unix.AT_FDCWD)
	from := "/proc/" + strconv.Itoa(of.PID()) + "/ns/" + l.String()
	p.Call("mount tmpfs", unix.SYS_MOUNT, agent.String("none"), agent.String("/tmp"), agent.String("tmpfs"), agent.Int(0), agent.Int(0))
	p.Call("mknod", unix.SYS_MKNODAT, at, agent.String("/tmp/ns"), agent.Int(unix.S_IFREG|0o600), agent.Int(0))
	p.Call("bind", unix.SYS_MOUNT, agent.String(from), agent.String("/tmp/ns"), agent.Int(0), agent.Int(unix.MS_BIND), agent.Int(0))
	if err := a.Run(t.Context(), &p); err != nil {
		t.Fatal(err)
	}
}

// TestOpenNothing: what is not there is said to be not there, and names nothing else.
func TestOpenNothing(t *testing.T) {
	h := testHost(t)
	a := fork(t, nest(t), nsfs.User|nsfs.UTS)
	number := a.PID()
	exit(t, a)
	for ref, says := range map[string]string{
		"uts:[1]":                     "there is no uts:[1] in sight",
		":18446744073709551615":       "id",
		fmt.Sprintf("%d/uts", number): fmt.Sprintf("there is no process %d", number),
		"/nowhere/at/all":             "no such file",
		"/dev/null":                   "not a namespace",
	} {
		ns, err := h.Open(t.Context(), reference(t, "%s", ref))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, %v; want an error with %q", ref, ns, err, says)
		}
	}
}

// TestFind: each way to refer to a namespace finds the same in a graph.
func TestFind(t *testing.T) {
	asUser(t)
	h := testHost(t)
	a := fork(t, nest(t), nsfs.User|nsfs.UTS)
	task, err := h.Identify(TaskReference{nsfs.TaskLocator{PID: a.PID()}})
	if err != nil {
		t.Fatal(err)
	}
	g, err := All(t.Context(), Options{NoState: true})
	if err != nil {
		t.Fatal(err)
	}
	ref := refOf(t, a, nsfs.InUTS)
	want := g.Index().Lookup(topology.UTS, ref.Ino)
	refs := []string{ref.String(), fmt.Sprintf("%d/uts", a.PID()), task.String() + "/uts", fmt.Sprintf("/proc/%d/ns/uts", a.PID())}
	if want != nil && want.ID != 0 {
		refs = append(refs, fmt.Sprintf(":%d", want.ID))
	}
	for _, s := range refs {
		got, err := h.Find(t.Context(), reference(t, "%s", s), g)
		if err != nil || got == nil || got != want {
			t.Errorf("%s: %v, %v; want %v", s, got, err, want)
		}
	}
	later := fork(t, a, nsfs.UTS)
	// Without ids, the number may be that of another, which was there before.
	if got, err := h.Find(t.Context(), reference(t, "%d/uts", later.PID()), g); err == nil && got.ID != 0 {
		t.Errorf("%v, in a graph from before it", got)
	}
}

// TestIdentify: a reference with a start time is to one process only.
func TestIdentify(t *testing.T) {
	h := testHost(t)
	a := nest(t)
	task, err := h.Identify(TaskReference{nsfs.TaskLocator{PID: a.PID()}})
	if err != nil {
		t.Fatal(err)
	}
	again, err := h.Identify(task)
	if err != nil || again != task {
		t.Errorf("%v, and then %v, %v", task, again, err)
	}
	other := task
	other.loc.Start--
	r := reference(t, "self/net")
	if got, err := h.Authority(t.Context(), task, r); err != nil || got.Start != task.loc.Start {
		t.Errorf("%v: %+v, %v", task, got, err)
	}
	if g, err := TreeOf(t.Context(), task, Options{NoState: true}); err != nil || g.Header.Root != a.PID() {
		t.Errorf("tree of %v: %v", task, err)
	}
	if _, err := TreeOf(t.Context(), other, Options{}); err == nil || !strings.Contains(err.Error(), "gone") {
		t.Errorf("tree of %v: %v", other, err)
	}
	if got, err := h.Authority(t.Context(), other, r); err == nil || !strings.Contains(err.Error(), "gone") {
		t.Errorf("%v: %+v, %v", other, got, err)
	}
}
