//go:build linux && (amd64 || arm64)

package restore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
)

// command is a helper that does as it is told, in a restored tree.
func command(args []string) int {
	switch args[0] {
	case "exit":
		code, _ := strconv.Atoi(args[1])
		return code
	case "cat":
		_, err := io.Copy(os.Stdout, os.Stdin)
		fmt.Fprintln(os.Stderr, err)
	case "env":
		fmt.Println(os.Getenv(args[1]))
	case "die":
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	case "wait":
		c := make(chan os.Signal, 1)
		signal.Notify(c, unix.SIGTERM)
		fmt.Println("ready")
		<-c
		return 3
	case "look":
		fmt.Println(os.Getpid(), os.Getuid(), os.Getgid())
		fds, _ := os.ReadDir("/proc/self/fd")
		for _, fd := range fds {
			to, _ := os.Readlink("/proc/self/fd/" + fd.Name())
			if strings.HasPrefix(to, "/memfd:") || strings.Contains(to, ":[") && fd.Name() > "2" && !strings.HasPrefix(to, "anon_inode:") {
				fmt.Println("inherited", fd.Name(), to)
			}
		}
		for _, typ := range topology.Types {
			link, _ := os.Readlink("/proc/self/ns/" + typ.String())
			fmt.Println(link)
		}
	}
	return 0
}

// room is a tree to run commands in.
type room struct {
	s       *restore.Standing
	path    string // of this binary, where commands can execute it
	in      *os.File
	out, er *os.File
}

// furnish restores a tree with files for commands.
func furnish(t *testing.T, g *topology.Graph) *room {
	t.Helper()
	r := &room{path: filepath.Join(t.TempDir(), "command")}
	// It may lie where only root gets to.
	text, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(r.path, text, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	var theirs [3]*os.File
	var ends [3]*os.File
	for i := range theirs {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		theirs[i], ends[i] = write, read
		if i == 0 {
			theirs[i], ends[i] = read, write
		}
	}
	t.Setenv(helperVariable, "command")
	r.s = execute(t, g, restore.Options{Stdio: theirs[:]})
	for _, f := range theirs {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	r.in, r.out, r.er = ends[0], ends[1], ends[2]
	t.Cleanup(func() {
		for _, f := range ends {
			_ = f.Close()
		}
	})
	return r
}

// run runs a command, which says no more than a pipe holds.
func (r *room) run(t *testing.T, args ...string) syscall.WaitStatus {
	t.Helper()
	status, err := r.s.Command(t.Context(), r.path, append([]string{"command"}, args...), nil)
	if err != nil {
		t.Fatal(err)
	}
	return status
}

// read returns what there is to read.
func read(t *testing.T, f *os.File) string {
	t.Helper()
	if err := f.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<16)
	n, err := f.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

// home returns a graph of one container below another. Root's maps its own id,
// so that it can execute what is root's.
func home() *topology.Graph {
	g := tower(2, 2)
	inner := g.Namespaces[len(g.Namespaces)-2]
	uts := &topology.Namespace{Type: topology.UTS, Ino: 300, Owner: inner, UTS: &topology.UTSState{NodeName: "home"}}
	g.Namespaces = append(g.Namespaces, uts)
	pid := g.Namespaces[len(g.Namespaces)-2]
	task := &topology.Task{PID: 4, TID: 4, NSPID: []int{4, 2, 1}}
	task.Namespaces[topology.InUser], task.Namespaces[topology.InPID], task.Namespaces[topology.InUTS] = inner, pid, uts
	g.Tasks = []*topology.Task{task}
	return g
}

func TestCommand(t *testing.T) {
	r := furnish(t, home())
	for _, code := range []int{0, 7, 255} {
		if status := r.run(t, "exit", strconv.Itoa(code)); !status.Exited() || status.ExitStatus() != code {
			t.Errorf("exit %d: %v", code, status)
		}
	}
	if status := r.run(t, "die"); !status.Signaled() || status.Signal() != unix.SIGKILL {
		t.Errorf("killed: %v", status)
	}
	t.Setenv("RENEST_WEATHER", "fair")
	r.run(t, "env", "RENEST_WEATHER")
	if got := read(t, r.out); got != "fair\n" {
		t.Errorf("environment: %q", got)
	}
	if _, err := r.in.WriteString("through"); err != nil {
		t.Fatal(err)
	}
	if err := r.in.Close(); err != nil {
		t.Fatal(err)
	}
	r.run(t, "cat")
	if got := read(t, r.out); got != "through" {
		t.Errorf("standard output: %q", got)
	}
	if got := read(t, r.er); got != "<nil>\n" {
		t.Errorf("standard error: %q", got)
	}
	alsoAsUser(t)
}

// TestCommandIsInside looks at a command from itself.
func TestCommandIsInside(t *testing.T) {
	r := furnish(t, home())
	r.run(t, "look")
	got := strings.Split(strings.TrimSpace(read(t, r.out)), "\n")
	want := []string{"3 0 0"}
	live := map[string]string{}
	for _, b := range r.s.Bindings {
		live[b.Image] = b.Live
	}
	for _, typ := range topology.Types {
		link, err := os.Readlink("/proc/self/ns/" + typ.String())
		if err != nil {
			t.Fatal(err)
		}
		switch typ {
		case topology.User:
			link = live["user:[102]"]
		case topology.PID:
			link = live["pid:[202]"]
		case topology.UTS:
			link = live["uts:[300]"]
		}
		want = append(want, link)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pid, uid and gid, descriptors, namespaces (-want +got):\n%s", diff)
	}
	alsoAsUser(t)
}

// TestCommandSignaled passes a signal on.
func TestCommandSignaled(t *testing.T) {
	r := furnish(t, home())
	signals := make(chan os.Signal, 1)
	go func() {
		buf := make([]byte, 16)
		if _, err := r.out.Read(buf); err == nil {
			signals <- unix.SIGTERM
		}
	}()
	status, err := r.s.Command(t.Context(), r.path, []string{"command", "wait"}, signals)
	if err != nil || status.ExitStatus() != 3 {
		t.Errorf("%v, %v", status, err)
	}
	alsoAsUser(t)
}

// TestCommandCanceled gives up waiting. The command ends with the tree, with a
// pid namespace in it or without one.
func TestCommandCanceled(t *testing.T) {
	for _, pids := range []int{0, 2} {
		r := furnish(t, tower(2, pids))
		ctx, cancel := context.WithCancelCause(t.Context())
		reason := errors.New("enough")
		go func() {
			buf := make([]byte, 16)
			if _, err := r.out.Read(buf); err == nil {
				cancel(reason)
			}
		}()
		if _, err := r.s.Command(ctx, r.path, []string{"command", "wait"}, nil); !errors.Is(err, reason) {
			t.Errorf("error %v", err)
		}
		cancel(nil)
		closed := make(chan error, 1)
		go func() { closed <- r.s.Close() }()
		select {
		case err := <-closed:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%d levels of pid namespaces: the command goes on", pids)
		}
		noChildren(t)
	}
}

func TestCommandThatCannotBe(t *testing.T) {
	r := furnish(t, home())
	_, err := r.s.Command(t.Context(), "/no/such/program", []string{"program"}, nil)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	wantError(t, err, "/no/such/program")
	// It did no harm.
	if status := r.run(t, "exit", "5"); status.ExitStatus() != 5 {
		t.Errorf("afterwards: %v", status)
	}
	s := execute(t, home(), restore.Options{})
	_, err = s.Command(t.Context(), r.path, []string{"command", "exit", "0"}, nil)
	wantError(t, err, "without files")
}

// TestCommandWithoutPID runs one in a tree that has no pid namespace.
func TestCommandWithoutPID(t *testing.T) {
	r := furnish(t, tower(3, 0))
	r.run(t, "look")
	got := strings.Split(strings.TrimSpace(read(t, r.out)), "\n")
	for _, b := range r.s.Bindings {
		if b.Image == "user:[103]" && got[1] != b.Live {
			t.Errorf("in %s, want %s", got[1], b.Live)
		}
	}
}
