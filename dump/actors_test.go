//go:build linux

package dump

import (
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/renest/renest/test/require"
	"github.com/renest/renest/test/seed"
	"github.com/renest/renest/topology"
)

// TestActors: who may act on a namespace is each task of which that is said when
// it is asked for alone, and no other.
func TestActors(t *testing.T) {
	asUser(t)
	w := newWorld(t, rand.New(rand.NewPCG(seed.Of(t), 0)))
	defer w.close()
	h := testHost(t)
	for i := range 30 {
		x := w.targets[w.rng.IntN(len(w.targets))]
		want := ^topology.CapSet(0)
		if i%2 == 0 {
			want = topology.CapSetOf(topology.Cap(w.rng.IntN(41)))
		}
		found, err := h.Actors(t.Context(), reference(t, "/proc/self/fd/%d", x.FD()), want)
		if err != nil {
			t.Fatal(err)
		}
		got, expected := map[int]topology.CapSet{}, map[int]topology.CapSet{}
		for _, a := range found.Actors {
			got[a.PID] = a.Held
		}
		for _, a := range w.actors {
			if held := w.ask(a.Agent, x).Held; held&want != 0 {
				expected[a.PID()] = held
			}
		}
		for pid := range got {
			if !w.has(pid) {
				delete(got, pid) // of others
			}
		}
		if diff := cmp.Diff(expected, got); diff != "" {
			t.Errorf("%s, %v (-alone +all)\n%s", x.ref, want, diff)
		}
	}
}

func (w *world) has(pid int) bool {
	for _, a := range w.actors {
		if a.PID() == pid {
			return true
		}
	}
	return false
}

// TestActorsThreads: a thread has capabilities of its own.
func TestActorsThreads(t *testing.T) {
	require.Root(t)
	tid, stop, done := make(chan int), make(chan struct{}), make(chan struct{})
	onThread(func() {
		defer close(done)
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		if err := unix.Capget(&hdr, &data[0]); err != nil {
			t.Error(err)
		}
		data[0].Effective &^= 1 << unix.CAP_NET_ADMIN
		if err := unix.Capset(&hdr, &data[0]); err != nil {
			t.Error(err)
		}
		tid <- unix.Gettid()
		<-stop
	})
	defer func() { close(stop); <-done }()
	thread := <-tid
	h := testHost(t)
	for want, listed := range map[topology.CapSet]bool{
		topology.CapSetOf(unix.CAP_SYS_ADMIN): true,
		topology.CapSetOf(unix.CAP_NET_ADMIN): false,
	} {
		found, err := h.Actors(t.Context(), reference(t, "self/uts"), want)
		if err != nil {
			t.Fatal(err)
		}
		got := map[int]bool{}
		for _, a := range found.Actors {
			if a.PID == os.Getpid() {
				got[a.TID] = true
			}
		}
		expected := map[int]bool{os.Getpid(): true}
		if listed {
			expected[thread] = true
		}
		if diff := cmp.Diff(expected, got); diff != "" {
			t.Errorf("%v: threads (-want +got)\n%s", want, diff)
		}
	}
}

// TestActorsPartial: tasks that may not be looked at are counted among what is
// missing.
func TestActorsPartial(t *testing.T) {
	asUser(t)
	if os.Geteuid() == 0 {
		return
	}
	h := testHost(t)
	found, err := h.Actors(t.Context(), reference(t, "self/net"), ^topology.CapSet(0))
	if err != nil {
		t.Fatal(err)
	}
	denied := false
	for _, line := range found.Missing {
		denied = denied || strings.Contains(line, "user namespace: permission denied")
	}
	_, err = os.Readlink("/proc/1/ns/user")
	if hidden := os.IsPermission(err); denied != hidden || found.Complete == hidden {
		t.Errorf("pid 1: %v; complete %v, missing %q", err, found.Complete, found.Missing)
	}
}
