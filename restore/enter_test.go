//go:build linux && (amd64 || arm64)

package restore_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
)

// TestEnter runs a command in a restored tree, by all namespaces of its
// innermost holder and by one whose owner has to be entered first.
func TestEnter(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	g := containers(1)
	if uid := os.Geteuid(); uid != 0 {
		u := g.Namespaces[8].User
		u.OwnerUID, u.Setgroups = uint32(uid), "deny"
		u.UIDMap, u.GIDMap = []topology.Extent{{Outside: uint32(uid), Count: 1}}, []topology.Extent{{Outside: uint32(os.Getegid()), Count: 1}}
	}
	s, err := restore.Execute(ctx, plan(t, g), restore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var all, uts []dump.Reference
	for _, b := range s.Bindings {
		r, err := dump.ParseReference(b.Path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
		if strings.HasPrefix(b.Image, "uts:") {
			uts = append(uts, r)
		}
	}
	for _, in := range [][]dump.Reference{all, uts} {
		out, status := enter(ctx, t, in, "uname -n; readlink /proc/self/ns/uts; exit 5")
		want := fmt.Sprintf("c\n%s\n", binding(s, "uts:").Live)
		if out != want || status != 5 {
			t.Errorf("entered %v: %q, exit %d; want %q, exit 5", in, out, status, want)
		}
	}
}

// TestEnterProtected wants whoever is root where an agent goes in not to get hold of
// it: its memory is that of its crew.
func TestEnterProtected(t *testing.T) {
	s := execute(t, box(&topology.Namespace{Type: topology.UTS, UTS: &topology.UTSState{}}), restore.Options{})
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	var in []*nsfs.NS
	for _, b := range s.Bindings {
		ns, err := nsfs.Open(b.Path)
		if err != nil {
			t.Fatal(err)
		}
		defer ns.Close()
		in = append(in, ns)
	}
	if dumpable, err := restore.Dumpable(t.Context(), in, []*os.File{null, null, null}); dumpable != 0 || err != nil {
		t.Errorf("dumpable %d, %v", dumpable, err)
	}
	alsoAsUser(t)
}

func binding(s *restore.Standing, kind string) restore.Binding {
	for _, b := range s.Bindings {
		if strings.HasPrefix(b.Image, kind) {
			return b
		}
	}
	return restore.Binding{}
}

// enter runs a script of the shell and returns what it says.
func enter(ctx context.Context, t *testing.T, in []dump.Reference, script string) (string, int) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	status, err := restore.Enter(ctx, in, restore.Command{
		Path: "/bin/sh", Args: []string{"sh", "-c", script}, Stdio: []*os.File{null, w, os.Stderr},
	})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(out), status.ExitStatus()
}
