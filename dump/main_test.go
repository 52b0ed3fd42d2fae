//go:build linux

package dump

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/topology"
)

// TestMain fails where a test leaves descriptors or children behind.
func TestMain(m *testing.M) {
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

// script runs a shell script that says "ready" and then waits for the end of its
// input. Its process group ends with the test.
func script(t testing.TB, text string) int {
	t.Helper()
	cmd := exec.Command("sh", "-ec", text)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Dir = "/"
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() {
		in.Close()
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		_ = cmd.Wait()
		for sc := bufio.NewScanner(r); sc.Scan(); { // to the end of every writer
		}
		r.Close()
	})
	_ = r.SetReadDeadline(time.Now().Add(20 * time.Second))
	for sc := bufio.NewScanner(r); sc.Scan(); {
		if sc.Text() == "ready" {
			return cmd.Process.Pid
		}
	}
	t.Fatalf("the script did not get ready:\n%s", text)
	return 0
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

// wantComplete is for what this test could see all of.
func wantComplete(t testing.TB, g *topology.Graph) {
	t.Helper()
	if !g.Header.Complete {
		t.Errorf("missing:\n%s", strings.Join(g.Header.Missing, "\n"))
	}
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

func requireRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

// asUser runs the test again as an ordinary user.
func asUser(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Skip("no user nobody to switch to")
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

func itoa(n int) string { return strconv.Itoa(n) }
