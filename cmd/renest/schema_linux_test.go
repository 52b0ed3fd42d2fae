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
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
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
