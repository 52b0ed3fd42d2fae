//go:build linux

package dump

import (
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// pair is two connected sockets.
type pair struct{ in, out int }

func newPair(t *testing.T) pair {
	t.Helper()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return pair{p[0], p[1]}
}

// send sends descriptors in one message.
func (p pair) send(t *testing.T, fds ...int) {
	t.Helper()
	if err := unix.Sendmsg(p.in, []byte{0}, unix.UnixRights(fds...), nil, 0); err != nil {
		t.Fatal(err)
	}
}

func (p pair) close() {
	unix.Close(p.in)
	unix.Close(p.out)
}

// orphan returns a descriptor of a UTS namespace that nothing else holds.
func orphan(t *testing.T) (fd int, ino uint64) {
	t.Helper()
	a := fork(t, nest(t), nsfs.User|nsfs.UTS)
	task, err := testProc(t).Task(a.PID())
	if err != nil {
		t.Fatal(err)
	}
	defer task.Close()
	ns, err := task.Open(nsfs.InUTS)
	if err != nil {
		t.Fatal(err)
	}
	if ino, err = ns.Ino(); err != nil {
		t.Fatal(err)
	}
	exit(t, a)
	return ns.FD(), ino // which is the caller's to close
}

// flightOf dumps the host and returns what pins a UTS namespace, and how much in flight
// to fd was not seen.
func flightOf(t *testing.T, ino uint64, fd int) (pins []topology.Pin, unseen bool) {
	t.Helper()
	g, err := All(t.Context(), Options{NoState: true})
	if err != nil {
		t.Fatal(err)
	}
	if n := g.Index().Lookup(topology.UTS, ino); n != nil {
		pins = ownPins(t, n)
	}
	object := taskName(&task{pid: os.Getpid(), tid: os.Getpid()}) + " fd " + strconv.Itoa(fd)
	return pins, slices.ContainsFunc(g.Header.Missing, func(line string) bool {
		return strings.HasPrefix(line, object+": ") && strings.Contains(line, "descriptors in flight to it cannot be looked at")
	})
}

// TestInFlightCircle has a socket wait in its own queue, many times. Each of what waits
// with it is looked at once, and there is an end to it.
func TestInFlightCircle(t *testing.T) {
	asUser(t)
	fd, ino := orphan(t)
	p := newPair(t)
	defer p.close()
	p.send(t, slices.Concat([]int{fd, fd}, slices.Repeat([]int{p.out}, 12))...)
	unix.Close(fd)
	got, unseen := flightOf(t, ino, p.out)
	want := []topology.Pin{{Kind: topology.PinInFlight, PID: os.Getpid(), FD: p.out}}
	if diff := cmp.Diff(want, got); diff != "" || unseen {
		t.Errorf("pins (-want +got), and not all seen: %v\n%s", unseen, diff)
	}
}

// TestInFlightShared: what is in flight to a socket that tasks share is pinned through
// each of them.
func TestInFlightShared(t *testing.T) {
	asUser(t)
	fd, ino := orphan(t)
	p := newPair(t)
	defer p.close()
	p.send(t, fd)
	unix.Close(fd)
	want := []topology.Pin{{Kind: topology.PinInFlight, PID: os.Getpid(), FD: p.out}}
	for range 3 {
		cmd := exec.Command("sleep", "300")
		cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(dup(t, p.out)), "socket")} // descriptor 3
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		err := cmd.Start()
		cmd.ExtraFiles[0].Close()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // killed
		})
		want = append(want, topology.Pin{Kind: topology.PinInFlight, PID: cmd.Process.Pid, FD: 3})
	}
	slices.SortFunc(want, func(a, b topology.Pin) int { return a.PID - b.PID })
	got, unseen := flightOf(t, ino, p.out)
	if diff := cmp.Diff(want, got); diff != "" || unseen {
		t.Errorf("pins (-want +got), and not all seen: %v\n%s", unseen, diff)
	}
}

func dup(t *testing.T, fd int) int {
	t.Helper()
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestInFlightDeep: a descriptor in flight to a socket that is in flight itself is found;
// deeper than that is looked, or behind another message, it is said that there is one.
func TestInFlightDeep(t *testing.T) {
	asUser(t)
	for _, tt := range []struct {
		name   string
		deep   int
		behind bool
		found  bool
	}{
		{name: "three deep", deep: 3, found: true},
		{name: "too deep", deep: inFlightDepth + 2},
		{name: "behind another", deep: 2, behind: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fd, ino := orphan(t)
			for i := range tt.deep {
				p := newPair(t)
				defer unix.Close(p.in)
				if tt.behind && i == 0 {
					p.send(t, p.in)
				}
				p.send(t, fd)
				unix.Close(fd)
				fd = p.out
			}
			defer unix.Close(fd)
			got, unseen := flightOf(t, ino, fd)
			if (len(got) == 1) != tt.found || unseen == tt.found {
				t.Errorf("pins %v, not all seen: %v", got, unseen)
			}
		})
	}
}

// TestInFlightMany: there is an end to what is kept of what is in flight, and it is said.
func TestInFlightMany(t *testing.T) {
	d := &dumper{}
	d.flown.Store(inFlightMost - 1)
	r := &reader{d: d}
	r.inFlight(nsfs.Task{}, nil, topology.Pin{PID: 1, FD: 2}, &knownSocket{flight: []flown{{node: &node{}}, {node: &node{}}}})
	if len(r.pins) != 1 || len(d.miss.lines()) != 1 {
		t.Errorf("pins %v, missing %q", r.pins, d.miss.lines())
	}
}

// TestNoNet: what a socket in flight keeps from the caller is looked for by its cookie.
func TestNoNet(t *testing.T) {
	s, err := nsfs.OwnSocket()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := &reader{d: &dumper{}}
	denied := &nsfs.Error{Kind: nsfs.ErrDenied, Errno: unix.EPERM}
	r.noNet(s, "pid 1 fd 2", nil, topology.Pin{Kind: topology.PinInFlight, PID: 1, FD: 2}, denied)
	if len(r.sockets) != 1 && len(r.d.miss.lines()) != 1 { // before Linux 5.14 there are no cookies
		t.Errorf("sockets %+v, missing %q", r.sockets, r.d.miss.lines())
	}
}
