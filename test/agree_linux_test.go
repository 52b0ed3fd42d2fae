package test

import (
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/test/require"
)

// TestAgreesWithLsns lists a host of two thousand tasks, each in namespaces of its
// own or of another's, and wants of every namespace that lsns(8) knows the same
// type, owner, parent and number of tasks.
func TestAgreesWithLsns(t *testing.T) {
	require.Root(t)
	lsns := require.Command(t, "lsns", "util-linux")
	tasks := 2000
	if testing.Short() {
		tasks = 200
	}
	own := crowdOf(t, tasks)
	// Others come and go on the host, and their numbers go to others: what they do
	// not disagree on once more, and in the same way, is no disagreement.
	var differ map[uint64]disagreement
	for start := time.Now(); time.Since(start) < 3*time.Minute; {
		before, got, after := lsnsList(t, lsns), renestList(t), lsnsList(t, lsns)
		now, known := map[uint64]disagreement{}, 0
		for ino, n := range before {
			if after[ino] != n {
				continue
			}
			known++
			d := disagreement{n, got[ino]}
			if !own[ino] {
				d.lsns.Tasks, d.renest.Tasks = 0, 0 // tasks of others come and go
			}
			if d.lsns != d.renest {
				if last, again := differ[ino]; again && last == d || differ == nil {
					now[ino] = d
				}
			}
		}
		if known < tasks {
			t.Fatalf("lsns lists %d namespaces, there are at least %d", known, tasks)
		}
		if differ = now; len(differ) == 0 {
			t.Logf("%d namespaces", known)
			return
		}
	}
	for ino, d := range differ {
		t.Errorf("%d: lsns says %+v, renest %+v", ino, d.lsns, d.renest)
	}
}

// disagreement is what both say of a namespace.
type disagreement struct{ lsns, renest listed }

// crowdOf makes tasks: every other one in five new namespaces, the rest in those
// of the one before, with a new net or cgroup namespace here and there. It returns
// the namespaces in which there are no others.
func crowdOf(t *testing.T, tasks int) (own map[uint64]bool) {
	t.Helper()
	proc, err := os.Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	crew, err := agent.Start(t.Context(), agent.Options{Proc: proc})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := crew.Close(); err != nil {
			t.Error(err)
		}
	})
	fork := func(a *agent.Agent, flags nsfs.Type) *agent.Agent {
		child, err := a.Fork(t.Context(), "fork", agent.ForkOptions{Flags: uint64(flags)})
		if err != nil {
			t.Fatal(err)
		}
		return child
	}
	own = map[uint64]bool{}
	note := func(pid int) {
		for _, kind := range nsKinds() {
			link := "/ns/" + kind
			var st, ours unix.Stat_t
			if err := unix.Stat("/proc/"+strconv.Itoa(pid)+link, &st); err != nil {
				t.Fatal(err)
			}
			if err := unix.Stat("/proc/self"+link, &ours); err != nil {
				t.Fatal(err)
			}
			if st.Ino != ours.Ino {
				own[st.Ino] = true
			}
		}
	}
	for i := 0; i < tasks; i += 2 {
		a := fork(crew.Root(), nsfs.User|nsfs.PID|nsfs.UTS|nsfs.IPC|nsfs.Mnt)
		var flags nsfs.Type
		switch i % 20 {
		case 0:
			flags = nsfs.Net
		case 10:
			flags = nsfs.Cgroup | nsfs.PID
		}
		for _, member := range []*agent.Agent{fork(a, flags), a} {
			note(member.PID())
			if err := member.Hold(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	return own
}

// listed is what both say of a namespace. An owner or a parent that there is not,
// or that is out of sight, is zero.
type listed struct {
	Type          string
	Tasks         int
	Owner, Parent uint64
}

func lsnsList(t *testing.T, path string) map[uint64]listed {
	t.Helper()
	var all struct {
		Namespaces []struct {
			NS, ONS, PNS uint64
			Type         string
			NProcs       int
		}
	}
	runLsns(t, path, &all, "-o", "NS,TYPE,NPROCS,ONS,PNS")
	list := make(map[uint64]listed, len(all.Namespaces))
	for _, n := range all.Namespaces {
		list[n.NS] = listed{n.Type, n.NProcs, n.ONS, n.PNS}
	}
	return list
}

func renestList(t *testing.T) map[uint64]listed {
	t.Helper()
	var all struct {
		Namespaces []struct {
			Name, Type    string
			Ino           uint64
			Owner, Parent string
			Pins          []struct{ Kind string }
		}
	}
	if err := json.Unmarshal([]byte(renest(t, 0, "list", "--json")), &all); err != nil {
		t.Fatal(err)
	}
	inos := make(map[string]uint64, len(all.Namespaces))
	for _, n := range all.Namespaces {
		inos[n.Name] = n.Ino
	}
	list := make(map[uint64]listed, len(all.Namespaces))
	for _, n := range all.Namespaces {
		tasks := slices.DeleteFunc(n.Pins, func(p struct{ Kind string }) bool { return p.Kind != "task" })
		list[n.Ino] = listed{n.Type, len(tasks), inos[n.Owner], inos[n.Parent]}
	}
	return list
}
