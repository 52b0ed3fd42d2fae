//go:build linux

package dump

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// TestMain fails where a test leaves descriptors or children behind.
func TestMain(m *testing.M) {
	if as, ok := os.LookupEnv(sightVariable); ok {
		if err := look(as); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	before := openFDs()
	code := m.Run()
	if after := openFDs(); code == 0 && after != before {
		fmt.Fprintf(os.Stderr, "open descriptors:\nbefore:\n%s\nafter:\n%s\n", before, after)
		code = 1
	}
	if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); code == 0 && err != unix.ECHILD {
		fmt.Fprintf(os.Stderr, "a child is left: %d, %v\n", pid, err)
		code = 1
	}
	os.Exit(code)
}

func openFDs() string {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, e := range entries {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || strings.HasPrefix(to, "anon_inode:[event") {
			continue
		}
		fmt.Fprintln(&b, e.Name(), to)
	}
	return b.String()
}

// nest starts the root of a tree that a test builds: an agent, of which the tree
// is made by system calls, so that it can be built where there is no shell.
func nest(t testing.TB) *agent.Agent {
	t.Helper()
	proc, err := os.Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	crew, err := agent.Start(t.Context(), agent.Options{Proc: proc, Name: "renest: " + t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := crew.Close(); err != nil {
			t.Error(err)
		}
	})
	return crew.Root()
}

// fork makes a child in new namespaces. Of a user namespace, its root is parent's.
func fork(t testing.TB, a *agent.Agent, flags nsfs.Type) *agent.Agent {
	t.Helper()
	child, err := a.Fork(t.Context(), "fork", agent.ForkOptions{Flags: uint64(flags)})
	if err != nil {
		t.Fatal(err)
	}
	if flags&nsfs.User != 0 {
		mapRoot(t, a, child)
	}
	return child
}

// mapRoot has a map the only id that it has itself to root in child's user
// namespace.
func mapRoot(t testing.TB, a, child *agent.Agent) {
	t.Helper()
	uid := call(t, a, "geteuid", unix.SYS_GETEUID)
	gid := call(t, a, "getegid", unix.SYS_GETEGID)
	dir := strconv.Itoa(child.PID())
	write(t, a, dir+"/setgroups", "deny")
	write(t, a, dir+"/uid_map", fmt.Sprintf("0 %d 1", uid))
	write(t, a, dir+"/gid_map", fmt.Sprintf("0 %d 1", gid))
}

// call has an agent make one system call.
func call(t testing.TB, a *agent.Agent, what string, nr uintptr, args ...agent.Arg) int {
	t.Helper()
	var p agent.Program
	c := p.Call(what, nr, args...)
	if err := a.Run(t.Context(), &p); err != nil {
		t.Fatal(err)
	}
	return c.Value()
}

// write has an agent write to a file in /proc.
func write(t testing.TB, a *agent.Agent, path, text string) {
	t.Helper()
	var p agent.Program
	fd := p.Call("open "+path, unix.SYS_OPENAT, agent.Int(agent.ProcFD), agent.String(path), agent.Int(unix.O_WRONLY|unix.O_CLOEXEC))
	p.Call("write "+path, unix.SYS_WRITE, fd.Ret(), agent.String(text), agent.Int(len(text)))
	p.Call("close", unix.SYS_CLOSE, fd.Ret())
	if err := a.Run(t.Context(), &p); err != nil {
		t.Fatal(err)
	}
}

// openNS has an agent open a namespace of another, and returns the descriptor.
func openNS(t testing.TB, a, of *agent.Agent, l nsfs.Link) int {
	t.Helper()
	path := strconv.Itoa(of.PID()) + "/ns/" + l.String()
	return call(t, a, "open "+path, unix.SYS_OPENAT, agent.Int(agent.ProcFD), agent.String(path), agent.Int(unix.O_RDONLY|unix.O_CLOEXEC))
}

// exit ends an agent, and sees it gone.
func exit(t testing.TB, a *agent.Agent) {
	t.Helper()
	pid := a.PID()
	if err := a.Exit(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an agent ends", func() bool { return unix.Kill(pid, 0) == unix.ESRCH })
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// tree dumps a tree, and checks that the result is a topology.
func tree(t testing.TB, pid int) *topology.Graph {
	t.Helper()
	g, err := Tree(t.Context(), pid, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Validate(); err != nil {
		t.Fatal(err)
	}
	return g
}

// wantComplete is for what this test could see all of. Others on the host may come and
// go too fast for any dump, of which it says so.
func wantComplete(t testing.TB, g *topology.Graph) {
	t.Helper()
	if g.Header.Complete != (len(g.Header.Missing) == 0) || slices.ContainsFunc(g.Header.Missing, func(line string) bool { return !saysEnded(line) }) {
		t.Errorf("complete: %v, missing:\n%s", g.Header.Complete, strings.Join(g.Header.Missing, "\n"))
	}
}

// saysEnded reports whether a line of what is missing says that tasks came and went too
// fast, who may have handed something on.
func saysEnded(line string) bool {
	return strings.HasPrefix(line, "/proc: tasks ended before they were read")
}

// ownPins returns the pins of a namespace but for those of others on the host: who dumps
// it opens what there is.
func ownPins(t testing.TB, n *topology.Namespace) []topology.Pin {
	t.Helper()
	return slices.DeleteFunc(slices.Clone(n.Pins), func(p topology.Pin) bool { return p.PID != 0 && !descends(t, p.PID) })
}

// own returns the dump's own namespaces of a type, in creation order.
func own(g *topology.Graph, typ topology.Type) []*topology.Namespace {
	var list []*topology.Namespace
	for _, n := range g.Namespaces {
		if n.Type == typ && !n.External {
			list = append(list, n)
		}
	}
	return list
}

// pins returns the kinds of a namespace's pins.
func pins(n *topology.Namespace) (kinds []topology.PinKind) {
	for _, p := range n.Pins {
		kinds = append(kinds, p.Kind)
	}
	return kinds
}

// asUser runs the test again as an ordinary user.
func asUser(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		return // a bare system, whose tests are run as both
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	cmd.Dir = "/"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("as nobody: %v\n%s", err, out)
	}
}
