//go:build linux

package dump

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/test/require"
	"github.com/renest/renest/test/seed"
	"github.com/renest/renest/topology"
)

// TestAuthorityAgainstKernel asks what tasks may do to namespaces, in random
// trees of both, has each task try it, and wants the kernel to say the same:
// whether it may join, and in what it may do there everything that takes one
// capability or other and leaves no trace.
func TestAuthorityAgainstKernel(t *testing.T) {
	const pairs = 60
	worlds, least := 10, 500
	if asContainer(t) {
		worlds, least = 3, 150
	} else {
		asUser(t)
	}
	from := seed.Of(t)
	var n tally
	for i := range worlds {
		w := newWorld(t, rand.New(rand.NewPCG(from, uint64(i))))
		for range pairs {
			w.try(&n)
		}
		w.close()
	}
	t.Logf("%d pairs of task and namespace, %d operations tried: %d allowed, %d refused; by rule: %v; joined directly %d, by way of its owner %d, not at all %d",
		n.pairs, n.allowed+n.refused, n.allowed, n.refused, n.rules, n.joined, n.via, n.shut)
	for _, r := range []topology.CapRule{topology.CapOwn, topology.CapCreator} {
		if n.rules[r] < n.pairs/20 {
			t.Errorf("only %d of %d pairs were decided by the rule %q", n.rules[r], n.pairs, r)
		}
	}
	if n.pairs < least || n.joined < n.pairs/20 || n.shut < n.pairs/20 || n.via == 0 {
		t.Errorf("too few of a kind: %+v", n)
	}
}

// TestAuthorityOverflow: the uid of those without a number does not make one who
// has it the creator of everything that they created.
func TestAuthorityOverflow(t *testing.T) {
	require.Root(t)
	inside := asContainer(t)
	w := &world{t: t, root: nest(t)}
	var err error
	if w.proc, err = nsfs.OpenProc(); err != nil {
		t.Fatal(err)
	}
	defer w.proc.Close()
	call(t, w.root, "setresuid", unix.SYS_SETRESUID, agent.Int(nsfs.OverflowID), agent.Int(nsfs.OverflowID), agent.Int(nsfs.OverflowID))
	w.dumpable(w.root)
	child := fork(t, w.root, nsfs.User)
	task, err := w.proc.Task(child.PID())
	if err != nil {
		t.Fatal(err)
	}
	defer task.Close()
	ns, err := task.Open(nsfs.InUser)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	root, err := w.proc.Task(w.root.PID())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	got, err := authority(w.proc, root, ns)
	if err != nil {
		t.Fatal(err)
	}
	if got.Unsure != inside || (got.Rule == topology.CapCreator) == inside {
		t.Errorf("in a user namespace: %v; unsure: %v: %s", inside, got.Unsure, w.told(got))
	}
}

// asContainer runs the test again in a user namespace of its own, from where the
// host's cannot be seen, and reports whether this is that run.
func asContainer(t *testing.T) bool {
	t.Helper()
	const variable = "DUMP_TEST_CONTAINER"
	if os.Getenv(variable) != "" {
		return true
	}
	if os.Geteuid() != 0 {
		return false
	}
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 100000, Size: 65536}}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids,
		GidMappingsEnableSetgroups: true, Credential: &syscall.Credential{},
	}
	cmd.Env = append(os.Environ(), variable+"=1")
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("in a user namespace: %v\n%s", err, out)
	} else if testing.Verbose() {
		t.Logf("in a user namespace:\n%s", out)
	}
	return false
}

// tally counts what was tried.
type tally struct {
	pairs, allowed, refused int
	joined, via, shut       int
	rules                   map[topology.CapRule]int
}

// world is a random tree of tasks and namespaces.
type world struct {
	t       *testing.T
	rng     *rand.Rand
	proc    *nsfs.Proc
	root    *agent.Agent
	actors  []*actor
	targets []*target
	byIno   map[uint64]*target
}

// actor is a task that acts, and the ids that its user namespace has for it to
// be: from first on.
type actor struct {
	*agent.Agent
	first, ids uint32
}

// target is a namespace to act on, open here and in the agents' table.
type target struct {
	*nsfs.NS
	ref    nsfs.Ref
	fd     int // agents'
	socket int // net: of it, agents'; 0 is none
	key    int // ipc: of a message queue that is nobody's; 0 is none
	mntID  uint64
	victim *agent.Agent // user: a task in it
	bare   bool         // user: without an id map
}

func newWorld(t *testing.T, rng *rand.Rand) *world {
	p, err := nsfs.OpenProc()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, rng: rng, proc: p, root: nest(t), byIno: map[uint64]*target{}}
	root := &actor{Agent: w.root, first: uint32(unix.Geteuid()), ids: 1}
	if root.first == 0 {
		root.ids = 1 << 15
	}
	w.actors = []*actor{root}
	for len(w.actors) < 24 {
		w.grow()
	}
	for _, a := range w.actors[1:] {
		if rng.IntN(2) == 0 {
			w.change(a) // after it has created some
		}
	}
	w.collect()
	for i := len(w.actors) - 1; i > 0; i-- {
		if rng.IntN(6) == 0 && w.expendable(w.actors[i]) {
			exit(t, w.actors[i].Agent)
			w.actors = slices.Delete(w.actors, i, i+1)
		}
	}
	return w
}

func (w *world) close() {
	for _, x := range w.targets {
		x.Close()
	}
	w.proc.Close()
	if err := w.root.Crew().Close(); err != nil {
		w.t.Error(err)
	}
}

// grow adds a task, and most often namespaces with it.
func (w *world) grow() {
	up := w.actors[w.rng.IntN(len(w.actors))]
	var flags nsfs.Type
	for _, typ := range nsfs.Types {
		if typ != nsfs.Time && w.rng.IntN(3) == 0 {
			flags |= typ
		}
	}
	if w.rng.IntN(4) == 0 {
		w.may(up.Agent, "unshare time", unix.SYS_UNSHARE, agent.Int(unix.CLONE_NEWTIME))
	}
	a, err := up.Fork(w.t.Context(), "fork", agent.ForkOptions{Flags: uint64(flags)})
	if err != nil {
		return // it may not, or not without a user namespace
	}
	child := &actor{Agent: a, first: up.first, ids: up.ids}
	if flags&nsfs.User != 0 {
		w.mapIDs(up, child)
	}
	w.actors = append(w.actors, child)
	if w.rng.IntN(2) == 0 {
		w.change(child)
	}
}

// mapIDs gives a new user namespace some of the ids of the one above, or one.
func (w *world) mapIDs(up, child *actor) {
	dir := strconv.Itoa(child.PID())
	base := up.first + w.rng.Uint32N(max(1, up.ids/2))
	n := max(1, (up.first+up.ids-base)/2)
	child.first, child.ids = 0, n
	if w.rng.IntN(6) == 0 {
		child.ids = 0 // to be mapped by whoever may
		return
	}
	wide := fmt.Sprintf("0 %d %d", base, n)
	if up.ids > 1 && w.mayWrite(up.Agent, dir+"/gid_map", wide) && w.mayWrite(up.Agent, dir+"/uid_map", wide) {
		return
	}
	uid := uint32(call(w.t, up.Agent, "geteuid", unix.SYS_GETEUID))
	gid := uint32(call(w.t, up.Agent, "getegid", unix.SYS_GETEGID))
	child.first, child.ids = w.rng.Uint32N(3), 1
	w.mayWrite(up.Agent, dir+"/setgroups", "deny")
	w.mayWrite(up.Agent, dir+"/uid_map", fmt.Sprintf("%d %d 1", child.first, uid))
	w.mayWrite(up.Agent, dir+"/gid_map", fmt.Sprintf("%d %d 1", child.first, gid))
}

// change gives a task another uid, other capabilities, or both.
func (w *world) change(a *actor) {
	if w.rng.IntN(2) == 0 && a.ids > 1 {
		// Of three, so that some have that of a creator.
		id := a.first + w.rng.Uint32N(min(3, a.ids))
		w.may(a.Agent, "keepcaps", unix.SYS_PRCTL, agent.Int(unix.PR_SET_KEEPCAPS), agent.Int(1))
		w.may(a.Agent, "setresgid", unix.SYS_SETRESGID, agent.Int(id), agent.Int(id), agent.Int(id))
		w.may(a.Agent, "setresuid", unix.SYS_SETRESUID, agent.Int(id), agent.Int(id), agent.Int(id))
	}
	all := uint64(topology.AllCaps)
	sets := []uint64{0, all, w.rng.Uint64() & all, all &^ (1 << unix.CAP_SYS_ADMIN), 1 << unix.CAP_SYS_ADMIN}
	permitted := sets[w.rng.IntN(len(sets))]
	w.capset(a.Agent, permitted&sets[w.rng.IntN(len(sets))], permitted)
	w.dumpable(a.Agent)
}

// dumpable lets this test and others look at a task whose credentials changed.
func (w *world) dumpable(a *agent.Agent) {
	var p agent.Program
	p.Expose()
	if err := a.Run(w.t.Context(), &p); err != nil {
		w.t.Fatal(err)
	}
}

// capset sets what it can of the effective and permitted set.
func (w *world) capset(a *agent.Agent, effective, permitted uint64) {
	task, err := w.proc.Task(a.PID())
	if err != nil {
		w.t.Fatal(err)
	}
	defer task.Close()
	var c nsfs.Credentials
	if err := task.Credentials(&c); err != nil {
		w.t.Fatal(err)
	}
	permitted &= c.Permitted
	effective &= permitted
	head := binary.NativeEndian.AppendUint32(nil, unix.LINUX_CAPABILITY_VERSION_3)
	head = append(head, 0, 0, 0, 0)
	var data []byte
	for _, half := range []uint64{effective, permitted, 0, effective >> 32, permitted >> 32, 0} {
		data = binary.NativeEndian.AppendUint32(data, uint32(half))
	}
	call(w.t, a, "capset", unix.SYS_CAPSET, agent.Bytes(head), agent.Bytes(data))
}

// may has an agent make a call that may fail, and returns its error.
func (w *world) may(a *agent.Agent, what string, nr uintptr, args ...agent.Arg) unix.Errno {
	w.t.Helper()
	var p agent.Program
	c := p.Call(what, nr, args...).MayFail()
	if err := a.Run(w.t.Context(), &p); err != nil {
		w.t.Fatal(err)
	}
	return errnoOf(c.Err())
}

func errnoOf(err error) unix.Errno {
	var errno unix.Errno
	errors.As(err, &errno)
	return errno
}

func (w *world) mayWrite(a *agent.Agent, path, text string) bool {
	w.t.Helper()
	var p agent.Program
	fd := p.Call("open "+path, unix.SYS_OPENAT, agent.Int(agent.ProcFD), agent.String(path), agent.Int(unix.O_WRONLY|unix.O_CLOEXEC))
	n := p.Call("write "+path, unix.SYS_WRITE, fd.Ret(), agent.String(text), agent.Int(len(text))).MayFail()
	p.Call("close", unix.SYS_CLOSE, fd.Ret())
	err := a.Run(w.t.Context(), &p)
	return err == nil && n.Err() == nil
}

// collect opens every namespace, here and for the agents, and prepares it.
func (w *world) collect() {
	for _, a := range w.actors {
		task, err := w.proc.Task(a.PID())
		if err != nil {
			w.t.Fatal(err)
		}
		for l := range nsfs.PIDForChildren {
			ns, err := task.Open(l)
			if err != nil {
				w.t.Fatal(err)
			}
			ref, err := ns.Ref()
			if err != nil {
				w.t.Fatal(err)
			}
			if w.byIno[ref.Ino] != nil {
				ns.Close()
				continue
			}
			x := &target{NS: ns, ref: ref, fd: openNS(w.t, w.root, a.Agent, l)}
			w.targets = append(w.targets, x)
			w.byIno[ref.Ino] = x
			w.prepare(a.Agent, x)
		}
		task.Close()
	}
}

// prepare puts into a namespace what operations need, by a task that is in it.
func (w *world) prepare(a *agent.Agent, x *target) {
	t := w.t
	switch x.ref.Type {
	case nsfs.User:
		if a == w.root {
			return
		}
		x.victim = a
		m, err := os.ReadFile(fmt.Sprintf("/proc/%d/uid_map", a.PID()))
		if err != nil {
			t.Fatal(err)
		}
		x.bare = len(m) == 0
	case nsfs.Net:
		x.socket = call(t, a, "socket", unix.SYS_SOCKET, agent.Int(unix.AF_INET), agent.Int(unix.SOCK_STREAM|unix.SOCK_CLOEXEC), agent.Int(0))
		call(t, a, "bind", unix.SYS_BIND, agent.Int(x.socket), agent.Bytes(inetAddr(0)), agent.Int(16))
	case nsfs.IPC:
		if a != w.root { // it ends with its namespace
			x.key = 4711
			call(t, a, "msgget", unix.SYS_MSGGET, agent.Int(x.key), agent.Int(unix.IPC_CREAT))
		}
	case nsfs.Mnt:
		if id, err := unix.IoctlGetInt(x.FD(), unix.NS_GET_MNTNS_ID); err == nil {
			x.mntID = uint64(id)
		}
	}
}

// inetAddr is a struct sockaddr_in of any address.
func inetAddr(port uint16) []byte {
	b := binary.NativeEndian.AppendUint16(nil, unix.AF_INET)
	return append(binary.BigEndian.AppendUint16(b, port), make([]byte, 12)...)
}

// expendable reports whether a task may end without others: it is no init, and no
// victim.
func (w *world) expendable(a *actor) bool {
	task, err := w.proc.Task(a.PID())
	if err != nil {
		w.t.Fatal(err)
	}
	defer task.Close()
	var s nsfs.Status
	if err := task.Status(&s); err != nil {
		w.t.Fatal(err)
	}
	return s.NSPID[len(s.NSPID)-1] != 1 &&
		!slices.ContainsFunc(w.targets, func(x *target) bool { return x.victim == a.Agent })
}
