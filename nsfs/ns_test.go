//go:build linux

package nsfs

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/renest/renest/test/require"
)

// TestOwnNamespaces asks each of the ten links in every way there is, and
// compares.
func TestOwnNamespaces(t *testing.T) {
	asUser(t, "TestOwnNamespaces")
	p := testProc(t)
	self, err := p.Self()
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	for l := range Link(NumLinks) {
		ref, err := self.Ref(l)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.Readlink("/proc/self/ns/" + l.String())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(text, ref.String()); diff != "" {
			t.Errorf("%s (-kernel +Ref):\n%s", l, diff)
		}
		ns, err := self.Open(l)
		if err != nil {
			t.Fatal(err)
		}
		defer ns.Close()
		if got, err := ns.Ref(); err != nil || got != ref {
			t.Errorf("%s: NS.Ref = %v, %v; want %v", l, got, err, ref)
		}
		if !l.Type().HasParent() {
			if _, err := ns.Parent(); !errors.Is(err, unix.EINVAL) {
				t.Errorf("%s: Parent: %v, want EINVAL", l, err)
			}
		} else if _, err := ns.Parent(); !errors.Is(err, ErrOutOfSight) {
			t.Errorf("%s: Parent of one's own: %v, want ErrOutOfSight", l, err)
		}
		id, err := ns.ID()
		if errors.Is(err, ErrNotSupported) {
			continue
		}
		h, err2 := ns.Handle()
		h2, err3 := self.Handle(l)
		if err := errors.Join(err, err2, err3, h.Alive()); err != nil {
			t.Fatal(err)
		}
		want := Handle{ID: id, Type: ref.Type, Ino: uint32(ref.Ino)}
		if diff := cmp.Diff([]Handle{want, want}, []Handle{h, h2}); diff != "" {
			t.Errorf("%s: handles (-want +got):\n%s", l, diff)
		}
		again, err := h.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		if got, err := again.Ref(); err != nil || got != ref {
			t.Errorf("%s: by handle: %v, %v; want %v", l, got, err, ref)
		}
	}
}

func TestOwnerAndParent(t *testing.T) {
	asUser(t, "TestOwnerAndParent")
	p := testProc(t)
	task, err := p.Task(child(t, User|PID|UTS))
	if err != nil {
		t.Fatal(err)
	}
	defer task.Close()
	self, err := p.Self()
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()

	user := open(t, task, InUser)
	for _, l := range []Link{InPID, InUTS} {
		owner, err := open(t, task, l).Owner()
		if err != nil {
			t.Fatal(err)
		}
		defer owner.Close()
		if owner.String() != user.String() {
			t.Errorf("owner of %s: %s, want %s", l, owner, user)
		}
	}
	for _, l := range []Link{InUser, InPID} {
		parent, err := open(t, task, l).Parent()
		if err != nil {
			t.Fatal(err)
		}
		defer parent.Close()
		if want := open(t, self, l); parent.String() != want.String() {
			t.Errorf("parent of %s: %s, want %s", l, parent, want)
		}
	}
	uid, err := user.OwnerUID()
	if err != nil || uid != uint32(os.Geteuid()) {
		t.Errorf("OwnerUID = %d, %v; want %d", uid, err, os.Geteuid())
	}
	if err := HavePIDTranslation(p); errors.Is(err, ErrNotSupported) {
		return
	}
	if pid, err := open(t, task, InPID).PIDOf(task.PID()); err != nil || pid != 1 {
		t.Errorf("PIDOf = %d, %v; want 1", pid, err)
	}
	if pid, err := open(t, task, InPID).PIDOf(os.Getpid()); !errors.Is(err, ErrGone) && !errors.Is(err, ErrNotSupported) {
		t.Errorf("PIDOf one that is not in it = %d, %v; want ErrGone", pid, err)
	}
	if pid, err := open(t, task, InPID).InitPID(); err != nil || pid != task.PID() {
		t.Errorf("InitPID = %d, %v; want %d", pid, err, task.PID())
	}
}

func open(t *testing.T, task Task, l Link) *NS {
	t.Helper()
	ns, err := task.Open(l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	return ns
}

// TestUnborn opens a pid namespace that has no init yet, which /proc does not
// show up to Linux 7.0.
func TestUnborn(t *testing.T) {
	asUser(t, "TestUnborn")
	p := testProc(t)
	require.That(t, "pidfd-namespaces", HavePIDFDNamespaces(p))
	pid, tid := childMode(t, User, "unborn")
	leader, err := p.Task(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer leader.Close()
	task, err := leader.Thread(tid)
	if err != nil {
		t.Fatal(err)
	}
	defer task.Close()
	if _, err := task.Ref(PIDForChildren); err == nil {
		t.Log("this kernel shows it through the link (Linux 7.1)")
	} else if !errors.Is(err, ErrGone) {
		t.Errorf("Ref(PIDForChildren) = %v, want ErrGone", err)
	}
	ns, err := task.OpenByPIDFD(PIDForChildren)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	if typ, err := ns.Type(); err != nil || typ != PID {
		t.Errorf("type %v, %v", typ, err)
	}
	if _, err := ns.InitPID(); !errors.Is(err, ErrGone) && !errors.Is(err, ErrNotSupported) {
		t.Errorf("InitPID = %v, want ErrGone", err)
	}
}

func TestGoneTask(t *testing.T) {
	p := testProc(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "NSFS_TEST_CHILD=wait")
	in, err := cmd.StdinPipe() // held open: it waits
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	task, err := p.Task(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer task.Close()
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	_, refErr := task.Ref(InNet)
	_, openErr := task.Open(InNet)
	_, pidfdErr := task.PIDFD()
	_, bindsErr := task.Binds(func(Bind) {})
	errs := []error{refErr, openErr, pidfdErr, task.Status(new(Status)), bindsErr}
	var refs Refs
	task.Refs(&refs)
	for _, r := range refs {
		errs = append(errs, r.Err)
	}
	for _, err := range errs {
		if !errors.Is(err, ErrGone) {
			t.Errorf("%v, want ErrGone", err)
		}
	}
	if _, err := p.Task(1 << 30); !errors.Is(err, ErrGone) {
		t.Errorf("%v, want ErrGone", err)
	}
}

func TestFDsAndBinds(t *testing.T) {
	require.Root(t)
	p := testProc(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "a b\\c")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("/proc/self/ns/uts", path, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
	viaMount, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer viaMount.Close()
	viaProc, err := Open("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer viaProc.Close()
	self, err := p.Self()
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	dev, err := p.NSDev()
	if err != nil {
		t.Fatal(err)
	}
	uts, _ := viaMount.Ref()
	net, _ := viaProc.Ref()

	socket, err := OwnSocket()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()

	fds, sockets := map[int]Ref{}, map[int]uint64{}
	if _, err := self.FDs(dev, nil, func(fd int, r Ref) { fds[fd] = r }, func(fd int, ino uint64) { sockets[fd] = ino }); err != nil {
		t.Fatal(err)
	}
	if sockets[socket.FD()] == 0 || sockets[viaProc.FD()] != 0 {
		t.Errorf("sockets %v, want fd %d among them", sockets, socket.FD())
	}
	want := map[int]Ref{viaMount.FD(): {Ino: uts.Ino}, viaProc.FD(): net}
	if diff := cmp.Diff(want, fds); diff != "" {
		t.Errorf("FDs (-want +got):\n%s", diff)
	}
	again, err := self.OpenFD(viaMount.FD())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if r, err := again.Ref(); err != nil || r != uts {
		t.Errorf("OpenFD: %v, %v; want %v", r, err, uts)
	}

	var binds []Bind
	if _, err := self.Binds(func(b Bind) {
		if strings.HasPrefix(b.Path, dir) {
			b.ID = 0
			binds = append(binds, b)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Bind{{Ref: uts, Path: path}}, binds); diff != "" {
		t.Errorf("Binds (-want +got):\n%s", diff)
	}
	if _, err := Open(dir); !errors.Is(err, ErrNoNamespace) {
		t.Errorf("Open of a directory: %v, want ErrNoNamespace", err)
	}
}

func TestStatus(t *testing.T) {
	asUser(t, "TestStatus")
	p := testProc(t)
	pid := child(t, User|PID)
	task, err := p.Task(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer task.Close()
	var s Status
	if err := task.Status(&s); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{pid, 1}, s.NSPID); diff != "" {
		t.Errorf("NSPID (-want +got):\n%s", diff)
	}
	if s.PID != pid || s.TGID != pid || s.PPID != os.Getpid() || s.UID[1] != uint32(os.Geteuid()) || s.Zombie() {
		t.Errorf("unexpected status: %+v", s)
	}
	threads, err := task.Threads(nil)
	if err != nil || len(threads) < s.Threads || threads[0] != pid {
		t.Errorf("Threads = %v, %v; status says %d", threads, err, s.Threads)
	}
	n, err := task.NumThreads()
	for tries := 0; err == nil && n != len(threads) && tries < 1000; tries++ { // they come and go
		if threads, err = task.Threads(nil); err == nil {
			n, err = task.NumThreads()
		}
	}
	if err != nil || n != len(threads) {
		t.Errorf("NumThreads = %d, %v; there are %v", n, err, threads)
	}
	pids, err := p.PIDs(nil)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, n := range pids {
		found = found || n == pid
	}
	if !found {
		t.Errorf("PIDs has no %d", pid)
	}
	uids, err := task.UIDMap()
	if diff := cmp.Diff([]Extent{{0, uint32(os.Geteuid()), 1}}, uids); err != nil || diff != "" {
		t.Errorf("UIDMap: %v (-want +got):\n%s", err, diff)
	}
	if s, err := task.Setgroups(); err != nil || s != "deny" {
		t.Errorf("Setgroups = %q, %v; want deny", s, err)
	}
}

func TestOpenProcRefuses(t *testing.T) {
	if _, err := openProcAt(t.TempDir()); err == nil || !strings.Contains(err.Error(), "not a procfs") {
		t.Errorf("a plain directory: %v", err)
	}
	if _, err := openProcAt("/proc/" + strconv.Itoa(os.Getpid())); err == nil || !strings.Contains(err.Error(), "not a procfs") {
		t.Errorf("not the root: %v", err)
	}
}

// TestForeignProc opens, in a pid namespace of its own, the procfs of its parent,
// where another task has its number.
func TestForeignProc(t *testing.T) {
	asUser(t, "TestForeignProc")
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "NSFS_TEST_CHILD=foreign")
	cmd.SysProcAttr = sysProcAttr(User | PID)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "belongs to another pid namespace") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestFeatures(t *testing.T) {
	p := testProc(t)
	for _, f := range []struct {
		name string
		have error
	}{
		{"ns ids", HaveNSID(p)},
		{"listns", HaveListns()},
		{"handle by id", HaveHandleByID(p)},
		{"pid translation", HavePIDTranslation(p)},
		{"pidfd namespaces", HavePIDFDNamespaces(p)},
		{"time namespaces", HaveTime(p)},
		{"mount list", HaveMountList(p)},
	} {
		if f.have != nil && !errors.Is(f.have, ErrNotSupported) {
			t.Errorf("%s: inconclusive: %v", f.name, f.have)
		}
		t.Logf("%s: %v", f.name, f.have)
	}
}
