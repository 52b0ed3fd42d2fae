package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/renest/renest/images"
	"github.com/renest/renest/topology"
)

var update = flag.Bool("update", false, "write the golden files anew")

// result is what a call of renest comes to.
type result struct {
	Code   int
	Stdout string
	Stderr string
}

// renest calls renest with args.
func renest(t *testing.T, in io.Reader, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	if in == nil {
		in = strings.NewReader("")
	}
	err := run(ctx, append([]string{"renest"}, args...), streams{in: in, out: &out, err: &errs})
	code := report(&errs, err)
	return result{code, out.String(), errs.String()}
}

// sample is a container in a container, as an image holds it.
func sample() *topology.Graph {
	var all []*topology.Namespace
	add := func(n topology.Namespace) *topology.Namespace {
		n.Ino = 4026531837 + uint64(len(all))
		n.ID = uint64(len(all) + 1)
		all = append(all, &n)
		return &n
	}
	everything := []topology.Extent{{Count: 1<<32 - 1}}
	host := add(topology.Namespace{
		Type: topology.User, External: true,
		User: &topology.UserState{UIDMap: everything, GIDMap: everything, Setgroups: "allow"},
	})
	hostPID := add(topology.Namespace{Type: topology.PID, Owner: host, External: true})
	hostPID.Ino = 4026531836
	outer := add(topology.Namespace{
		Type: topology.User, Owner: host, Parent: host,
		User: &topology.UserState{
			UIDMap:    []topology.Extent{{Outside: 100000, Count: 65536}},
			GIDMap:    []topology.Extent{{Outside: 100000, Count: 65536}},
			Setgroups: "allow",
		},
	})
	uts := add(topology.Namespace{Type: topology.UTS, Owner: outer, UTS: &topology.UTSState{NodeName: "outer", DomainName: "(none)"}})
	pid := add(topology.Namespace{Type: topology.PID, Owner: outer, Parent: hostPID, PID: &topology.PIDState{Init: 4711}})
	inner := add(topology.Namespace{
		Type: topology.User, Owner: outer, Parent: outer,
		User: &topology.UserState{
			OwnerUID: 1000, UIDMap: []topology.Extent{{Outside: 1000, Count: 1}}, GIDMap: []topology.Extent{{Outside: 1000, Count: 1}},
			Setgroups: "deny",
		},
	})
	net := add(topology.Namespace{
		Type: topology.Net, Owner: inner,
		Pins: []topology.Pin{{Kind: topology.PinBind, Path: "/run/netns/x"}},
	})
	deep := add(topology.Namespace{Type: topology.PID, Owner: inner, Parent: pid, PID: &topology.PIDState{Init: 4712}})
	return &topology.Graph{
		Header: topology.Header{
			Version: images.Version, Tool: "renest 0.1.0", Created: time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC),
			Hostname: "host", BootID: "5e2bf3a6-30a5-4a1c-9d6b-3f0b6b4c4a4f", Kernel: "6.18.44", Source: "proc",
			Root: 4711, Missing: []string{"pid 9: fds: permission denied"},
		},
		Namespaces: all,
		Tasks: []*topology.Task{
			{
				PID: 4711, TID: 4711, NSPID: []int{4711, 1}, Comm: "sh",
				Namespaces: [topology.NumLinks]*topology.Namespace{
					topology.InUser: outer, topology.InUTS: uts, topology.InPID: pid, topology.PIDForChildren: pid,
				},
			},
			{
				PID: 4712, TID: 4712, NSPID: []int{4712, 2, 1}, Comm: "evil\x1b[2J",
				Namespaces: [topology.NumLinks]*topology.Namespace{
					topology.InUser: inner, topology.InUTS: uts, topology.InPID: deep, topology.InNet: net, topology.PIDForChildren: deep,
				},
			},
		},
	}
}

// sampleDir holds images: nstree.img is the sample, again.img the same of
// another host, other.img another, boot.img of another boot, cut.img
// damaged.
func sampleDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, g *topology.Graph) {
		if err := images.WriteFile(filepath.Join(dir, name), g); err != nil {
			t.Fatal(err)
		}
	}
	write(images.Name, sample())
	again := sample()
	for _, n := range again.Namespaces {
		n.Ino += 1000
		n.ID += 1000
	}
	write("again.img", again)
	other := sample()
	other.Namespaces[3].UTS.NodeName = "another"
	write("other.img", other)
	boot := sample()
	boot.Header.BootID = "00000000-0000-0000-0000-000000000000"
	write("boot.img", boot)
	whole, err := os.ReadFile(filepath.Join(dir, images.Name))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cut.img"), whole[:100], 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestImages runs what only reads images, and holds it against testdata.
func TestImages(t *testing.T) {
	t.Setenv("COLUMNS", "")
	t.Chdir(sampleDir(t))
	image, err := os.ReadFile(images.Name)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		args  string
		stdin string
		want  int
	}{
		"show":                 {args: "show nstree.img"},
		"show-dir":             {args: "show ."},
		"show-stdin":           {args: "show -", stdin: string(image)},
		"show-json":            {args: "show --json nstree.img"},
		"show-json-last":       {args: "show nstree.img --json"},
		"show-cut":             {args: "show cut.img", want: 1},
		"show-absent":          {args: "show absent.img", want: 1},
		"show-empty-stdin":     {args: "show -", want: 1},
		"tree":                 {args: "tree nstree.img"},
		"tree-parent":          {args: "tree nstree.img --by parent"},
		"tree-dot":             {args: "tree nstree.img --format dot"},
		"tree-mermaid":         {args: "tree nstree.img --format mermaid --by parent"},
		"tree-color":           {args: "tree nstree.img --color always --ids"},
		"tree-by-parent-glued": {args: "tree --by=parent nstree.img"},
		"diff-same":            {args: "diff nstree.img again.img"},
		"diff-stdin":           {args: "diff - again.img", stdin: string(image)},
		"diff-other":           {args: "diff nstree.img other.img", want: 1},
		"diff-tasks":           {args: "diff nstree.img again.img --tasks"},
		"diff-json":            {args: "diff nstree.img other.img --json", want: 1},
		"diff-ignore":          {args: "diff nstree.img other.img --ignore time,names"},
		"diff-boots":           {args: "diff nstree.img boot.img --identity", want: 2},
		"diff-cut":             {args: "diff nstree.img cut.img", want: 2},
		"diff-absent":          {args: "diff absent.img nstree.img", want: 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := renest(t, strings.NewReader(tt.stdin), strings.Fields(tt.args)...)
			if got.Code != tt.want {
				t.Errorf("exit %d, want %d", got.Code, tt.want)
			}
			golden(t, name, tt.args, got)
		})
	}
}

// golden compares with a file in testdata.
func golden(t *testing.T, name, args string, got result) {
	t.Helper()
	path := filepath.Join(testdata, name+".golden")
	text := "$ renest " + args + "\n" + got.Stdout
	if got.Stderr != "" {
		text += "-- stderr --\n" + got.Stderr
	}
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (run with -update to write it)", err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("(-%s +got)\n%s", path, diff)
	}
}

// testdata is where the golden files are, wherever a test has gone.
var testdata = func() string {
	dir, err := filepath.Abs("testdata")
	if err != nil {
		panic(err)
	}
	return dir
}()
