//go:build linux

package dump

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/test/require"
	"github.com/renest/renest/topology"
)

// set has an agent write settings, in the namespaces that it is in.
func set(t testing.TB, a *agent.Agent, settings topology.Sysctls) {
	t.Helper()
	for _, s := range settings {
		write(t, a, "sys/"+topology.SysctlPath(s.Name), s.Value)
	}
}

// havePIDMax says whether pid namespaces have a pid_max of their own (Linux 6.14),
// by what only those kernels do: a new one begins without a limit, whatever the
// host has.
func havePIDMax(t testing.TB) bool {
	t.Helper()
	a := fork(t, nest(t), nsfs.User|nsfs.PID)
	write := func() error {
		var p agent.Program
		fd := p.Call("open", unix.SYS_OPENAT, agent.Int(agent.ProcFD), agent.String("sys/kernel/pid_max"), agent.Int(unix.O_WRONLY|unix.O_CLOEXEC))
		p.Call("close", unix.SYS_CLOSE, fd.Ret())
		return a.Run(t.Context(), &p)
	}
	// Of the host's, nobody but the host's root may be the writer.
	return os.Geteuid() != 0 && write() == nil || os.Geteuid() == 0 && read(t, a, "sys/kernel/pid_max") != read(t, nest(t), "sys/kernel/pid_max")
}

// read has an agent read a short file of /proc.
func read(t testing.TB, a *agent.Agent, path string) string {
	t.Helper()
	var p agent.Program
	r := readSmall(&p, agent.Int(agent.ProcFD), path)
	if err := a.Run(t.Context(), &p); err != nil {
		t.Fatal(err)
	}
	text, err := r.text()
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return text
}

// TestSettings sees settings that are not the default, and none that are.
func TestSettings(t *testing.T) {
	asUser(t)
	outer := fork(t, nest(t), nsfs.User|nsfs.IPC|nsfs.Net)
	inner := fork(t, outer, nsfs.User|nsfs.PID|nsfs.IPC|nsfs.Net)
	ipc := topology.Sysctls{
		{Name: "fs.mqueue.msg_max", Value: "12"},
		{Name: "kernel.msgmax", Value: "9000"},
		{Name: "kernel.sem", Value: "100 200 300 400"},
		{Name: "kernel.shm_rmid_forced", Value: "1"},
		{Name: "kernel.shmmax", Value: "4611686018427387904"},
	}
	net := topology.Sysctls{
		{Name: "net.core.somaxconn", Value: "77"},
		{Name: "net.ipv4.ip_local_port_range", Value: "2000 3000"},
	}
	user := topology.Sysctls{{Name: "user.max_net_namespaces", Value: "5"}, {Name: "user.max_time_namespaces", Value: "0"}}
	for _, s := range []topology.Sysctls{ipc, net, user} {
		set(t, inner, s)
	}
	var up agent.Program
	request := agent.NewBufferOf(append(append([]byte("lo"), make([]byte, 14)...), append([]byte{unix.IFF_UP}, make([]byte, 23)...)...))
	sock := up.Call("socket", unix.SYS_SOCKET, agent.Int(unix.AF_UNIX), agent.Int(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC), agent.Int(0))
	up.Call("ioctl", unix.SYS_IOCTL, sock.Ret(), agent.Int(unix.SIOCSIFFLAGS), agent.Out(request))
	up.Call("close", unix.SYS_CLOSE, sock.Ret())
	if err := inner.Run(t.Context(), &up); err != nil {
		t.Fatal(err)
	}

	g := tree(t, outer.PID())
	wantComplete(t, g)
	users := own(g, topology.User)
	of := func(user *topology.Namespace, typ topology.Type) *topology.Namespace {
		list := own(g, typ)
		return list[slices.IndexFunc(list, func(n *topology.Namespace) bool { return n.Owner == user })]
	}
	for _, x := range []struct {
		what      string
		got, want any
	}{
		{"ipc", of(users[0], topology.IPC).IPC, &topology.IPCState{}},
		{"inner ipc", of(users[1], topology.IPC).IPC, &topology.IPCState{Sysctls: ipc}},
		{"net", of(users[0], topology.Net).Net, &topology.NetState{}},
		{"inner net", of(users[1], topology.Net).Net, &topology.NetState{Loopback: true, Sysctls: net}},
		{"user", users[0].User.Sysctls, topology.Sysctls(nil)},
		{"inner user", users[1].User.Sysctls, user},
	} {
		if diff := cmp.Diff(x.want, x.got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", x.what, diff)
		}
	}
	without, err := Tree(t.Context(), outer.PID(), Options{NoSysctls: true})
	if err != nil {
		t.Fatal(err)
	}
	if n := own(without, topology.IPC)[1]; n.IPC != nil {
		t.Errorf("settings were read that nobody asked for: %v", n.IPC)
	}
}

// TestSettingsOfMany reads settings that differ in each of so many namespaces that
// several families of agents do it.
func TestSettingsOfMany(t *testing.T) {
	asUser(t)
	outer := fork(t, nest(t), nsfs.User|nsfs.PID)
	const many = besideFrom + 10 // of user and of pid namespaces
	setting := func(name string, i int) topology.Sysctls {
		return topology.Sysctls{{Name: name, Value: strconv.Itoa(1000 + i)}}
	}
	agents := make([]*agent.Agent, many)
	for i := range agents {
		agents[i] = fork(t, outer, nsfs.User|nsfs.PID|nsfs.IPC)
		set(t, agents[i], setting("user.max_net_namespaces", i))
		set(t, agents[i], setting("kernel.msgmax", i))
	}
	g := tree(t, outer.PID())
	wantComplete(t, g)
	for i, a := range agents {
		at := slices.IndexFunc(g.Tasks, func(t *topology.Task) bool { return t.PID == a.PID() })
		if at < 0 {
			t.Fatalf("agent %d is not there", i)
		}
		user, ipc := g.Tasks[at].Namespaces[topology.InUser], g.Tasks[at].Namespaces[topology.InIPC]
		if diff := cmp.Diff(setting("user.max_net_namespaces", i), user.User.Sysctls); diff != "" {
			t.Errorf("agent %d, user (-want +got):\n%s", i, diff)
		}
		if diff := cmp.Diff(setting("kernel.msgmax", i), ipc.IPC.Sysctls); diff != "" {
			t.Errorf("agent %d, ipc (-want +got):\n%s", i, diff)
		}
	}
}

// TestFollowers keeps what the kernel changes along with another setting, also where
// it was set back to what a fresh namespace has.
func TestFollowers(t *testing.T) {
	a := fork(t, nest(t), nsfs.User|nsfs.Net)
	dir := func(name string) string { return "sys/" + topology.SysctlPath(name) }
	was := read(t, a, dir("net.ipv4.ip_forward"))
	now := "1"
	if was == "1" {
		now = "0"
	}
	lo := read(t, a, dir("net.ipv4.conf.lo.forwarding"))
	write(t, a, dir("net.ipv4.ip_forward"), now)
	write(t, a, dir("net.ipv4.conf.lo.forwarding"), lo)
	g := tree(t, a.PID())
	s := own(g, topology.Net)[0].Net.Sysctls
	for name, want := range map[string]string{"net.ipv4.ip_forward": now, "net.ipv4.conf.default.forwarding": now, "net.ipv4.conf.lo.forwarding": lo} {
		if got, _ := s.Get(name); got != want {
			t.Errorf("%s is %q, want %q, of %v", name, got, want, s)
		}
	}
}

// TestLastPID reads pid_max and the last pid, level by level, and leaves them as they
// are: the look itself is no birth that counts.
func TestLastPID(t *testing.T) {
	asUser(t)
	outer := fork(t, nest(t), nsfs.User|nsfs.PID)
	_, err := os.Stat("/proc/sys/kernel/ns_last_pid")
	require.That(t, "CONFIG_CHECKPOINT_RESTORE", err)
	write(t, outer, "sys/kernel/ns_last_pid", "500")
	inner := fork(t, outer, nsfs.PID) // 501
	write(t, inner, "sys/kernel/ns_last_pid", "250")
	// The number that a look would take first.
	other, err := inner.Fork(t.Context(), "fork", agent.ForkOptions{SetTID: []int{nativeTID, nativeTID}})
	if err != nil {
		t.Fatal(err)
	}
	maxes := []int{0, 0}
	if havePIDMax(t) {
		maxes = []int{topology.NoPIDMax, 1234}
		write(t, inner, "sys/kernel/pid_max", "1234")
	}
	for look := range 3 {
		g := tree(t, outer.PID())
		wantComplete(t, g)
		pids := own(g, topology.PID)
		want := []*topology.PIDState{{Init: outer.PID(), PIDMax: maxes[0], LastPID: 501}, {Init: inner.PID(), PIDMax: maxes[1], LastPID: 250}}
		if diff := cmp.Diff(want, []*topology.PIDState{pids[0].PID, pids[1].PID}); diff != "" {
			t.Errorf("look %d (-want +got)\n%s", look, diff)
		}
	}
	exit(t, other)
	if got := read(t, inner, "sys/kernel/ns_last_pid"); got != "250" {
		t.Errorf("the last pid is %s, it was 250", got)
	}
}

// TestSysctlsAreTheNamespaces holds the list of settings against the kernel: in a
// namespace of its own a process finds another file than on the host. Otherwise, to
// set one would change the host.
func TestSysctlsAreTheNamespaces(t *testing.T) {
	root := nest(t)
	here, there := root, fork(t, root, nsfs.User|nsfs.IPC|nsfs.Net)
	for _, typ := range []topology.Type{topology.User, topology.IPC, topology.Net} {
		found := 0
		for _, name := range topology.SysctlNames(typ) {
			path := "sys/" + topology.SysctlPath(name)
			// Open, for an inode that nobody holds may lose its number to another.
			fd, ino := lookAt(t, there, path)
			other, host := lookAt(t, here, path)
			if fd >= 0 {
				found++
			}
			if fd >= 0 && ino == host {
				t.Errorf("%s is the same on the host and in a %s namespace", name, typ)
			}
			for _, fd := range []int{fd, other} {
				if fd >= 0 {
					call(t, root, "close", unix.SYS_CLOSE, agent.Int(fd))
				}
			}
		}
		if found < len(topology.SysctlNames(typ))/2 {
			t.Errorf("of the settings of %s namespaces this kernel has only %d", typ, found)
		}
	}
}

// lookAt has an agent open a file, and returns the descriptor, -1 where there is no
// such file, and the inode number.
func lookAt(t testing.TB, a *agent.Agent, path string) (fd int, ino uint64) {
	t.Helper()
	var p agent.Program
	open := p.Call("open", unix.SYS_OPENAT, agent.Int(agent.ProcFD), agent.String(path), agent.Int(unix.O_RDONLY|unix.O_CLOEXEC)).MayFail()
	number := p.Inode(open.Ret())
	if err := a.Run(t.Context(), &p); err != nil {
		t.Fatal(err)
	}
	if open.Err() != nil {
		return -1, 0
	}
	return open.Value(), number.Number()
}

// TestIPCLimits compares what calls tell with what the files say.
func TestIPCLimits(t *testing.T) {
	a := fork(t, nest(t), nsfs.User|nsfs.IPC)
	g := tree(t, a.PID())
	s := own(g, topology.IPC)[0].IPC.Sysctls
	for _, name := range topology.SysctlNames(topology.IPC) {
		want := read(t, a, "sys/"+topology.SysctlPath(name))
		got, ok := s.Get(name)
		if !ok {
			got, _ = topology.SysctlDefault(name)
		}
		if got != want {
			t.Errorf("%s is %s, the file says %s", name, got, want)
		}
	}
	if len(s) > 0 {
		t.Errorf("a fresh ipc namespace has other settings than thought: %v", s)
	}
}

// TestClocks: what a process in another time namespace takes for the host's clocks is
// what they are.
func TestClocks(t *testing.T) {
	c, err := Clocks()
	if err != nil {
		t.Fatal(err)
	}
	g := tree(t, nest(t).PID())
	after, err := Clocks()
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ before, at, after topology.Offset }{
		{c.Monotonic, g.Header.Clocks.Monotonic, after.Monotonic}, {c.Boottime, g.Header.Clocks.Boottime, after.Boottime},
	} {
		if x.at.Sub(x.before).Sec < 0 || x.after.Sub(x.at).Sec < 0 {
			t.Errorf("clock %v, between %v and %v", x.at, x.before, x.after)
		}
	}
}

// TestExtents reads maps with as many extents as the kernel takes.
func TestExtents(t *testing.T) {
	require.Root(t) // an ordinary user has one extent
	root := nest(t)
	a, err := root.Fork(t.Context(), "fork", agent.ForkOptions{Flags: uint64(nsfs.User)})
	if err != nil {
		t.Fatal(err)
	}
	var want []topology.Extent
	for i := range uint32(topology.MaxExtents) {
		want = append(want, topology.Extent{Inside: 2 * i, Outside: 3 * i, Count: 1})
	}
	dir := strconv.Itoa(a.PID())
	text := topology.FormatIDMap(want)
	for _, file := range []string{"uid_map", "gid_map", "projid_map"} {
		write(t, root, dir+"/"+file, text)
	}
	for _, hole := range []bool{false, true} {
		if hole { // no task: a descriptor keeps it
			openNS(t, root, a, nsfs.InUser)
			exit(t, a)
		}
		u := own(tree(t, root.PID()), topology.User)[0].User
		for what, got := range map[string][]topology.Extent{"uid": u.UIDMap, "gid": u.GIDMap, "projid": u.ProjIDMap} {
			if !slices.Equal(got, want) {
				t.Errorf("%s map, without a task %v: %s", what, hole, strings.TrimSpace(topology.FormatIDMap(got)))
			}
		}
	}
}
