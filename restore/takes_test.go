//go:build linux && (amd64 || arm64)

package restore_test

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/renest/renest/restore"
	"github.com/renest/renest/test/require"
	"github.com/renest/renest/topology"
	"github.com/renest/renest/topology/topologytest"
)

// lacking restores random graphs without one capability, and compares what was
// foreseen with what came of it. Its arguments are the capability's number, the first
// seed and how many there are.
func lacking(args []string) int {
	var n [3]int
	for i := range n {
		n[i], _ = strconv.Atoi(args[i])
	}
	lacks := topology.Cap(n[0])
	if had, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(lacks), 0, 0, 0); err != nil || had == 1 {
		// It is this thread's to drop, and all that is executed from now on has it
		// no more: so that all threads are without it, that is this program again.
		runtime.LockOSThread()
		err = unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(lacks), 0, 0, 0)
		if err == nil {
			err = unix.Exec("/proc/self/exe", os.Args, os.Environ())
		}
		fmt.Println("drop the capability:", err)
		return 1
	}
	failed := 0
	for seed := n[1]; seed < n[1]+n[2]; seed++ {
		g := random(uint64(seed), topologytest.Options{Namespaces: 8, Tasks: true})
		plan, err := restore.NewPlan(g, options())
		if err != nil {
			continue
		}
		host, err := restore.ReadHost()
		if err != nil {
			fmt.Println(err)
			return 1
		}
		foreseen := restore.Preflight(plan, host)
		err = restoreOnce(plan)
		if (foreseen == nil) != (err == nil) {
			fmt.Printf("seed %d, without %s: foreseen: %v, came: %v\n", seed, lacks, foreseen, err)
			return 1
		}
		if err != nil {
			failed++
			if !strings.Contains(foreseen.Error(), " takes "+lacks.String()+", which you do not have") {
				fmt.Printf("seed %d, without %s: foreseen: %v\n", seed, lacks, foreseen)
				return 1
			}
		}
	}
	fmt.Printf("without %s: %d of %d restores fail, as foreseen\n", lacks, failed, n[2])
	return 0
}

// TestTakesAll takes one capability after the other away: Preflight names it where,
// and only where, the restore fails without it.
func TestTakesAll(t *testing.T) {
	require.Root(t)
	for _, c := range []topology.Cap{8, 18, 25, 31} { // SETPCAP, SYS_CHROOT, SYS_TIME, SETFCAP
		t.Run(c.String(), func(t *testing.T) {
			seeds := 40
			if testing.Short() {
				seeds = 6
			}
			out, err := helper(t, "lacking", fmt.Sprint(uint8(c)), "0", fmt.Sprint(seeds)).CombinedOutput()
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
			t.Logf("%s", out)
		})
	}
	noChildren(t)
}

func TestTakes(t *testing.T) {
	user, pid, net := outer()
	u := below(user, 10, topology.UserState{UIDMap: whole, GIDMap: whole, Setgroups: "allow"})
	inner := below(u, 11, topology.UserState{UIDMap: one(0, 0), GIDMap: one(0, 0), Setgroups: "deny"})
	g := graphOf(user, pid, net, u, inner,
		&topology.Namespace{Type: topology.UTS, Ino: 12, Owner: user, UTS: &topology.UTSState{NodeName: "ship"}},
		&topology.Namespace{Type: topology.Time, Ino: 13, Owner: user, Time: &topology.TimeState{}},
		&topology.Namespace{Type: topology.UTS, Ino: 14, Owner: inner, UTS: &topology.UTSState{NodeName: "deck"}})
	p, err := restore.NewPlan(g, restore.PlanOptions{Privileged: true})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, set := range p.Takes() {
		if set != 0 {
			got = append(got, p.Steps[i].String()+" "+set.String())
		}
	}
	want := []string{
		"agent 0 writes the maps of user:[10]: uid 0 0 4294967295 gid 0 0 4294967295 CAP_SETGID,CAP_SETUID,CAP_SETFCAP",
		"agent 0 forks agent 3 into new uts:[12] CAP_SYS_ADMIN",
		`agent 3 names uts:[12] "ship" CAP_SYS_ADMIN`,
		"agent 3 unshares into new time:[13] CAP_SYS_ADMIN",
		"agent 3 sets the clocks of time:[13] CAP_SYS_TIME",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestPreflightOfHost gives every reason that lies with the host.
func TestPreflightOfHost(t *testing.T) {
	user, pid, net := outer()
	g := graphOf(user, pid, net,
		&topology.Namespace{Type: topology.Time, Ino: 13, Owner: user, Time: &topology.TimeState{}},
		&topology.Namespace{Type: topology.Time, Ino: 14, Owner: user, Time: &topology.TimeState{}})
	p, err := restore.NewPlan(g, restore.PlanOptions{Privileged: true})
	if err != nil {
		t.Fatal(err)
	}
	h := roots()
	h.Lacks = topology.CapSetOf(topology.CapSysChroot, 25)
	h.Room = []restore.Room{{Limit: "pids.max", Free: 2, Remedy: "raise it"}, {Limit: "threads-max", Free: 100, Remedy: "raise it"}}
	h.Obstacles = []error{errors.New("a chroot")}
	h.Files = 3
	want := []string{
		"a chroot",
		"step 3 of 8 (agent 1 sets the clocks of time:[13]) takes CAP_SYS_TIME, which you do not have, and so do 1 others: restore with all capabilities",
		"the limit of open files is 3, the restore needs 21: raise it (ulimit -Hn 21)",
		"pids.max leaves room for 2 more processes, the restore needs 7 at a time: raise it",
	}
	if diff := cmp.Diff(want, reasons(restore.Preflight(p, h))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestTry finds nothing in the way of a user namespace here.
func TestTry(t *testing.T) {
	host, err := restore.ReadHost()
	if err != nil {
		t.Fatal(err)
	}
	if len(host.Obstacles) > 0 {
		t.Errorf("nothing can be restored here: %v", host.Obstacles)
	}
	if err := host.Try(t.Context()); err != nil || len(host.Obstacles) > 0 {
		t.Errorf("try: %v, %v", err, host.Obstacles)
	}
	noChildren(t)
	alsoAsUser(t)
}
