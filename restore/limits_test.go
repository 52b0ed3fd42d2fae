//go:build linux && (amd64 || arm64)

package restore_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/images"
	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
	"github.com/renest/renest/topology/topologytest"
)

// inUserNamespace is a helper that is root in a user namespace of its own. For
// each type that the image has it lowers the limit there to less than the image
// needs, where Preflight sees that and Execute fails, and raises it to just what
// is needed: if anything were left of the failure, that would not be enough.
func inUserNamespace(args []string) int {
	g, err := images.ReadFile(args[0])
	if err != nil {
		fmt.Println(err)
		return 1
	}
	need := map[topology.Type]int{}
	for _, n := range g.Namespaces {
		if !n.External {
			need[n.Type]++
		}
	}
	for _, typ := range topology.Types {
		if need[typ] == 0 {
			continue
		}
		if err := lowered(g, typ, need[typ]); err != nil {
			fmt.Printf("%s: %v\n", typ, err)
			return 1
		}
	}
	return 0
}

func lowered(g *topology.Graph, typ topology.Type, need int) error {
	if err := setLimit(typ, need-1); err != nil {
		return err
	}
	host, err := restore.ReadHost()
	if err != nil {
		return err
	}
	p, err := restore.NewPlan(g, restore.PlanOptions{Privileged: host.Privileged})
	if err != nil {
		return err
	}
	want := fmt.Sprintf("user.max_%s_namespaces is %d, the image needs %d", typ, need-1, need)
	if err := restore.Preflight(p, host); err == nil || !strings.Contains(err.Error(), want) {
		return fmt.Errorf("preflight says %w, want %q", err, want)
	}
	nothing := func(*restore.Standing) error { return nil }
	err = restoreFile(os.Args[1], restore.Options{}, nothing)
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "create ") || !strings.Contains(err.Error(), "raise user.max_*_namespaces") {
		return fmt.Errorf("with one too few: %w", err)
	}
	if err := setLimit(typ, need); err != nil {
		return err
	}
	// What has ended is counted for a moment longer.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := restoreFile(os.Args[1], restore.Options{}, nothing)
		if err == nil {
			return setLimit(typ, 1000)
		}
		if !errors.Is(err, unix.ENOSPC) || time.Now().After(deadline) {
			return fmt.Errorf("with enough: %w", err)
		}
	}
}

func setLimit(typ topology.Type, n int) error {
	return os.WriteFile("/proc/sys/user/max_"+typ.String()+"_namespaces", []byte(fmt.Sprint(n)), 0)
}

// TestExhausted restores where user.max_*_namespaces do not suffice.
func TestExhausted(t *testing.T) {
	user, pid, net := outer()
	state := topology.UserState{UIDMap: one(0, 0), GIDMap: one(0, 0), Setgroups: "deny"}
	g := graphOf(user, pid, net)
	for i := range uint64(3) {
		u := below(user, 100+i, state)
		g.Namespaces = append(g.Namespaces, u)
		for j, typ := range topology.Types {
			n := &topology.Namespace{Type: typ, Ino: 1000*(i+1) + uint64(j), Owner: u}
			switch typ {
			case topology.User:
				n = below(u, n.Ino, state)
			case topology.PID:
				n.Parent = pid
			}
			g.Namespaces = append(g.Namespaces, n)
		}
	}
	cmd := helper(t, "in user namespace", saved(t, g))
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
		{"another's", graphOf(user, pid, u), "become uid 5, gid 0: "},
		{"maps", graphOf(user, below(user, 10, topology.UserState{OwnerUID: host.UID, UIDMap: whole, Setgroups: "allow"})), "write uid_map of user:[10]: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// As if it were root's: that is what a plan is made for.
			p, err := restore.NewPlan(tt.graph, restore.PlanOptions{Privileged: tt.name == "another's"})
			if err != nil {
				t.Fatal(err)
			}
			if err := restore.Preflight(p, host); err == nil {
				t.Error("not refused beforehand")
			}
			_, err = restore.Execute(t.Context(), p, restore.Options{})
			if !errors.Is(err, unix.EPERM) {
				t.Errorf("error %v", err)
			}
			wantError(t, err, tt.want, "restore as root")
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
	uts := &topology.Namespace{Type: topology.UTS, Ino: 77, Owner: g.Namespaces[len(g.Namespaces)-1].Owner, UTS: &topology.UTSState{NodeName: "ship"}}
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
