//go:build linux && (amd64 || arm64)

package restore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
	"github.com/renest/renest/topology/topologytest"
)

// inUserNamespace is a helper that is root in a user namespace of its own. For
// each type it lowers the limit there to less than a tree needs, where Preflight
// sees that and Execute fails, and raises it to just what is needed: if anything
// were left of the failure, that would not be enough.
func inUserNamespace([]string) int {
	for _, typ := range topology.Types {
		if err := lowered(typ); err != nil {
			fmt.Printf("%s: %v\n", typ, err)
			return 1
		}
	}
	return 0
}

// twoOf returns a graph of two user namespaces with a namespace of a type in
// each, and how many of that type it has.
func twoOf(typ topology.Type) (*topology.Graph, int) {
	user, pid, _ := outer()
	state := topology.UserState{UIDMap: one(0, 0), GIDMap: one(0, 0), Setgroups: "deny"}
	g, count := graphOf(user, pid), 2
	for i := range uint64(2) {
		u := below(user, 100+i, state)
		n := &topology.Namespace{Type: typ, Ino: 200 + i, Owner: u}
		switch typ {
		case topology.User:
			n, count = below(u, n.Ino, state), 4
		case topology.PID:
			n.Parent = pid
		}
		g.Namespaces = append(g.Namespaces, u, n)
	}
	return g, count
}

func lowered(typ topology.Type) error {
	g, need := twoOf(typ)
	if err := setLimit(typ, need-1); err != nil {
		return err
	}
	host, err := restore.ReadHost()
	if err != nil {
		return err
	}
	p, err := restore.NewPlan(g, host.PlanOptions())
	if err != nil {
		return err
	}
	want := fmt.Sprintf("user.max_%s_namespaces is %d, the image needs %d", typ, need-1, need)
	if err := restore.Preflight(p, host); err == nil || !strings.Contains(err.Error(), want) {
		return fmt.Errorf("preflight says %w, want %q", err, want)
	}
	err = restoreOnce(p)
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "create ") || !strings.Contains(err.Error(), "raise user.max_*_namespaces") {
		return fmt.Errorf("with one too few: %w", err)
	}
	if err := setLimit(typ, need); err != nil {
		return err
	}
	// What has ended is counted a while longer, a net namespace above all, which
	// waits for those of others on the host; and each attempt makes one that has to
	// end.
	deadline := time.Now().Add(2 * time.Minute)
	for wait := 10 * time.Millisecond; ; wait *= 2 {
		err := restoreOnce(p)
		if err == nil {
			return setLimit(typ, 1000)
		}
		if !errors.Is(err, unix.ENOSPC) || time.Now().After(deadline) {
			return fmt.Errorf("with enough: %w", err)
		}
		time.Sleep(wait)
	}
}

func restoreOnce(p *restore.Plan) error {
	s, err := restore.Execute(context.Background(), p, restore.Options{})
	if err != nil {
		return err
	}
	return s.Close()
}

func setLimit(typ topology.Type, n int) error {
	return os.WriteFile("/proc/sys/user/max_"+typ.String()+"_namespaces", []byte(fmt.Sprint(n)), 0)
}

// TestExhausted restores where user.max_*_namespaces do not suffice.
func TestExhausted(t *testing.T) {
	cmd := helper(t, "in user namespace")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	noChildren(t)
	alsoAsUser(t)
}

// TestWithoutPrivilege has an ordinary user restore what only root can.
func TestWithoutPrivilege(t *testing.T) {
	if os.Geteuid() == 0 {
		alsoAsUser(t)
		return
	}
	host, err := restore.ReadHost()
	if err != nil {
		t.Fatal(err)
	}
	user, pid, net := outer()
	u := below(user, 10, topology.UserState{OwnerUID: 5, UIDMap: whole, GIDMap: whole, Setgroups: "allow"})
	for _, tt := range []struct {
		name  string
		graph *topology.Graph
		want  string
	}{
		{"the host's", graphOf(user, net, &topology.Namespace{Type: topology.Net, Ino: 11, Owner: user}), "create net:[11]: "},
		{"another's", graphOf(user, pid, u), "step 2 of 7, become uid 5, gid 0 of user:[1]: "},
		{"maps", graphOf(user, below(user, 10, topology.UserState{OwnerUID: host.UID, UIDMap: whole, Setgroups: "allow"})), "write uid_map of user:[10]: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// As if it were root's: that is what a plan is made for.
			o := options()
			o.Privileged = tt.name == "another's"
			p, err := restore.NewPlan(tt.graph, o)
			if err != nil {
				t.Fatal(err)
			}
			if err := restore.Preflight(p, host); err == nil {
				t.Error("not refused beforehand")
			}
			_, err = restore.Execute(t.Context(), p, restore.Options{})
			if tt.name == "maps" { // which newuidmap(1) refuses, where there is one
				wantError(t, err, tt.want, "newuidmap")
			} else {
				if !errors.Is(err, unix.EPERM) {
					t.Errorf("error %v", err)
				}
				wantError(t, err, tt.want, "restore as root")
			}
			noChildren(t)
		})
	}
}

// TestNotIsomorphic wants what is made to be compared with what the image has:
// a graph that cannot be had that way is not restored as another.
func TestNotIsomorphic(t *testing.T) {
	g := random(2, topologytest.Options{Namespaces: 6})
	for _, n := range g.Namespaces {
		if n.Type == topology.UTS && !n.External {
			n.UTS.NodeName = "ship"
		}
	}
	own := slices.IndexFunc(g.Namespaces, func(n *topology.Namespace) bool { return n.Type == topology.User && !n.External })
	uts := &topology.Namespace{Type: topology.UTS, Ino: 77, Owner: g.Namespaces[own], UTS: &topology.UTSState{NodeName: "ship"}}
	g.Namespaces = append(g.Namespaces, uts)
	p := plan(t, g)
	rounds := 0
	_, err := restore.Execute(t.Context(), p, restore.Options{Progress: func(done, total int) {
		if rounds++; done == total {
			uts.UTS = &topology.UTSState{NodeName: "boat"}
		}
	}})
	wantError(t, err, "what was made is not what the image has", `"boat"`)
	noChildren(t)
}
