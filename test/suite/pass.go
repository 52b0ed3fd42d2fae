package suite

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Event is one line of what go test -json prints (go doc test2json).
type Event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// Test names one test, or a subtest.
type Test struct {
	Package string
	Name    string
}

// Outcome is how a test ended.
type Outcome struct {
	Action string // pass, fail or skip
	Reason string // of a skip
}

// Pass is what one run of tests came to.
type Pass struct {
	Name  string // "host", "nobody", "trixie root"
	Tests map[Test]Outcome
}

// NewPass returns a pass in which nothing has run yet.
func NewPass(name string) *Pass { return &Pass{name, map[Test]Outcome{}} }

// Collector gathers a pass from the events of its tests, in their order.
type Collector struct {
	// Failed is what the tests that failed had printed.
	Failed strings.Builder

	pass   *Pass
	output map[Test][]string
}

// NewCollector returns a collector that adds to p.
func NewCollector(p *Pass) *Collector { return &Collector{pass: p, output: map[Test][]string{}} }

// Add takes one event in. An event without a test is its package's.
func (c *Collector) Add(e Event) {
	t := Test{e.Package, e.Test}
	switch e.Action {
	case "output":
		c.output[t] = append(c.output[t], e.Output)
		return
	case "skip":
		c.end(t, Outcome{e.Action, reason(c.output[t])})
	case "pass", "fail":
		c.end(t, Outcome{Action: e.Action})
	default:
		return
	}
	if e.Action == "fail" {
		c.Failed.WriteString(strings.Join(c.output[t], ""))
	}
	delete(c.output, t)
}

func (c *Collector) end(t Test, o Outcome) {
	if t.Name != "" {
		c.pass.Tests[t] = o
	}
}

// reason finds what a skipped test said last, behind its file and line:
// "    a_test.go:12: needs root: running as uid 65534".
func reason(output []string) string {
	for _, line := range slices.Backward(output) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "--- ") || strings.HasPrefix(line, "=== ") {
			continue
		}
		if _, text, ok := strings.Cut(line, ".go:"); ok {
			_, line, _ = strings.Cut(text, ": ")
		}
		return line
	}
	return ""
}

// Count returns how many tests of pkg ended with action; of every package, where
// pkg is empty.
func (p *Pass) Count(pkg, action string) int {
	n := 0
	for t, o := range p.Tests {
		if o.Action == action && (pkg == "" || pkg == t.Package) {
			n++
		}
	}
	return n
}

// Sorted returns the tests that ended with action.
func (p *Pass) Sorted(action string) []Test {
	var tests []Test
	for t, o := range p.Tests {
		if o.Action == action {
			tests = append(tests, t)
		}
	}
	slices.SortFunc(tests, Test.compare)
	return tests
}

func (t Test) compare(u Test) int {
	return cmp.Or(strings.Compare(t.Package, u.Package), strings.Compare(t.Name, u.Name))
}

// Read adds to p what the tests of pkg printed under -test.v=test2json, and
// returns what the tests that failed had printed.
func (p *Pass) Read(ctx context.Context, pkg, output string) (failed string, err error) {
	cmd := exec.CommandContext(ctx, "go", "tool", "test2json", "-p", pkg)
	cmd.Stdin = strings.NewReader(output)
	events, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go tool test2json: %w", err)
	}
	c := NewCollector(p)
	for dec := json.NewDecoder(bytes.NewReader(events)); ; {
		var e Event
		if err := dec.Decode(&e); errors.Is(err, io.EOF) {
			return c.Failed.String(), nil
		} else if err != nil {
			return "", fmt.Errorf("events of tests: %w", err)
		}
		c.Add(e)
	}
}

// ResultsVariable names the environment variable that names the folder in which
// passes are left.
const ResultsVariable = "RENEST_RESULTS"

// stored is a pass in a file.
type stored struct {
	Name  string
	Tests []storedTest
}

type storedTest struct {
	Test
	Outcome
}

// Leave writes p into the folder that RENEST_RESULTS names, if it names one.
func (p *Pass) Leave() error {
	dir := os.Getenv(ResultsVariable)
	if dir == "" {
		return nil
	}
	s := stored{Name: p.Name}
	for t, o := range p.Tests {
		s.Tests = append(s.Tests, storedTest{t, o})
	}
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, strings.ReplaceAll(p.Name, " ", "-")+".json"), data, 0o644)
}

// Passes reads the passes that were left in dir, by name.
func Passes(dir string) ([]*Pass, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var passes []*Pass
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var s stored
		if err := json.Unmarshal(data, &s); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		p := NewPass(s.Name)
		for _, t := range s.Tests {
			p.Tests[t.Test] = t.Outcome
		}
		passes = append(passes, p)
	}
	return passes, nil
}
