package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/test/require"
	"github.com/renest/renest/topology"
)

// validate holds what a command printed against the schema of an output.
func validate(t *testing.T, output, text string) {
	t.Helper()
	got := renest(t, nil, "schema", output)
	if got.Code != 0 {
		t.Fatal(got)
	}
	schema, err := jsonschema.UnmarshalJSON(strings.NewReader(got.Stdout))
	if err != nil {
		t.Fatal(err)
	}
	closeObjects(schema)
	c := jsonschema.NewCompiler()
	if err := c.AddResource("renest.json", schema); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("renest.json")
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%.300s", err, text)
	}
	if err := compiled.Validate(value); err != nil {
		t.Errorf("%s: %v\n%.1000s", output, err, text)
	}
}

// closeObjects has a schema refuse what it does not name, which it leaves open for
// fields of later versions: those of this one are all named.
func closeObjects(schema any) {
	switch s := schema.(type) {
	case []any:
		for _, v := range s {
			closeObjects(v)
		}
	case map[string]any:
		for _, v := range s {
			closeObjects(v)
		}
		if s["properties"] != nil && s["additionalProperties"] == nil {
			s["additionalProperties"] = false
		}
	}
}

// TestSchemas runs every command that prints JSON, on this host or on images, and
// holds it against its schema; and there is no such command without one.
func TestSchemas(t *testing.T) {
	t.Chdir(sampleDir(t))
	self := strconv.Itoa(os.Getpid())
	seen := map[string]bool{}
	for output, args := range map[string]string{
		"show":  "show nstree.img",
		"list":  "list",
		"diff":  "diff nstree.img other.img",
		"caps":  "caps self self/user",
		"who":   "who self/user",
		"why":   "why self/user",
		"check": "check -t " + self,
		"host":  "check",
		"plan":  "restore --dry-run nstree.img",
		"ps":    "ps",
	} {
		seen[output] = true
		t.Run(output, func(t *testing.T) {
			got := renest(t, nil, strings.Fields(args+" --json")...)
			if got.Stdout == "" {
				t.Fatalf("%+v", got)
			}
			validate(t, output, got.Stdout)
		})
	}
	for _, output := range outputNames() {
		if !seen[output] && output != "restore" && output != "outline" && output != "watch" { // see below
			t.Errorf("%s is not run", output)
		}
	}
}

// TestSchemaOfRestore restores a tree.
func TestSchemaOfRestore(t *testing.T) {
	t.Chdir(t.TempDir())
	if got := renest(t, nil, "dump", "-t", strconv.Itoa(sleeper(t)), "-o", "x.img"); got.Code != 0 {
		t.Fatal(got)
	}
	got := renest(t, nil, "restore", "--json", "x.img", "--", "true")
	if got.Code != 0 {
		t.Fatal(got)
	}
	validate(t, "restore", got.Stdout)
}

// TestSchemaOfOutline lists what listns(2) alone tells.
func TestSchemaOfOutline(t *testing.T) {
	require.Root(t)
	require.That(t, "listns", nsfs.HaveListns())
	validate(t, "outline", outline(t, "--json"))
}

// TestSchemaOfWatch starts processes until one is told of.
func TestSchemaOfWatch(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	r, w := io.Pipe()
	ended := make(chan error)
	go func() {
		args := []string{"renest", "watch", "--json", "--interval", "50ms", "live:" + strconv.Itoa(os.Getpid())}
		err := run(ctx, args, streams{in: strings.NewReader(""), out: w, err: io.Discard})
		_ = w.Close()
		ended <- err
	}()
	line := make(chan string, 1)
	go func() {
		lines := bufio.NewReader(r)
		text, _ := lines.ReadString('\n') // none if it ends
		line <- text
		_, _ = io.Copy(io.Discard, lines)
	}()
	for told := false; !told; {
		sleeper(t)
		select {
		case text := <-line:
			told = true
			cancel()
			validate(t, "watch", text)
		case <-time.After(200 * time.Millisecond):
		}
	}
	cancel()
	var exit exitError
	if err := <-ended; !errors.As(err, &exit) || exit.code != 130 {
		t.Errorf("watch: %v", err)
	}
}

// TestSchemaOfGoldens: what others than this host may have printed.
func TestSchemaOfGoldens(t *testing.T) {
	for output, pattern := range map[string]string{"show": "show-json*.golden", "diff": "diff-json.golden"} {
		files, err := filepath.Glob(filepath.Join(testdata, pattern))
		if err != nil || len(files) == 0 {
			t.Fatal(err, files)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, text2, _ := strings.Cut(string(text), "\n") // below the command line
			validate(t, output, text2)
		}
	}
}

// TestSchemaOfState: what namespaces of this host do not hold has a schema too.
func TestSchemaOfState(t *testing.T) {
	settings := topology.Sysctls{{Name: "a.b", Value: "1"}}
	user := &topology.Namespace{Type: topology.User, Ino: 1, User: &topology.UserState{
		UIDMap: []topology.Extent{{Count: 1}}, Setgroups: "deny", Sysctls: settings,
	}}
	mnt := &topology.Namespace{Type: topology.Mnt, Ino: 2, Owner: user}
	g := &topology.Graph{
		Header: topology.Header{Version: 1, Root: 1, Missing: []string{"x"}, Clocks: &topology.TimeState{}},
		Namespaces: []*topology.Namespace{
			user, mnt,
			{Type: topology.UTS, Ino: 3, UTS: &topology.UTSState{}},
			{Type: topology.IPC, Ino: 4, IPC: &topology.IPCState{Sysctls: settings}},
			{Type: topology.PID, Ino: 5, PID: &topology.PIDState{}, State: topology.Unborn},
			{Type: topology.Cgroup, Ino: 6, Cgroup: &topology.CgroupState{Root: "/x", V1: true}},
			{Type: topology.Net, Ino: 7, Net: &topology.NetState{Loopback: true, Sysctls: settings}},
			{Type: topology.Time, Ino: 8, Time: &topology.TimeState{}},
		},
		Tasks: []*topology.Task{{PID: 1, TID: 2}},
	}
	for k := topology.PinTask; k <= topology.PinInFlight; k++ {
		user.Pins = append(user.Pins, topology.Pin{Kind: k, PID: 1, TID: 2, FD: 3, Path: "/x", Mnt: mnt, NS: mnt})
	}
	var b strings.Builder
	if err := topology.WriteJSON(&b, g); err != nil {
		t.Fatal(err)
	}
	validate(t, "show", b.String())
}

// TestSchemaRefuses: a schema that takes anything proves nothing.
func TestSchemaRefuses(t *testing.T) {
	schema, err := schemaOf("show")
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(schema)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("x.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled := c.MustCompile("x.json")
	for _, bad := range []string{`{}`, `{"header":{},"namespaces":[],"tasks":[]}`, `{"header":null,"namespaces":[{"name":"x"}],"tasks":[]}`} {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(bad))
		if err != nil {
			t.Fatal(err)
		}
		if compiled.Validate(value) == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
