// Command report reads what go test -json prints on its standard input and tells
// what it came to: failures in full, every skip with its reason, and go test's
// own line for each package last.
//
// It fails if a test did. With -strict it also fails on a skip that nobody meant:
// one that does not name what was missing in the way of package require, or a test
// that was skipped in every pass and so never ran.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/renest/renest/test/suite"
)

func main() {
	strict := flag.Bool("strict", false, "fail on skips that nobody meant")
	flag.Parse()
	ok, err := run(os.Stdin, os.Stdout, os.Getenv(suite.ResultsVariable), *strict)
	if err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// run reports on one run of go test and on the passes left in dir, and tells
// whether all is well.
func run(in io.Reader, out io.Writer, dir string, strict bool) (bool, error) {
	s := &stream{out: out, pass: suite.NewPass("host"), output: map[suite.Test][]string{}}
	s.collector = suite.NewCollector(s.pass)
	if err := s.read(in); err != nil {
		return false, err
	}
	passes := []*suite.Pass{s.pass}
	if dir != "" {
		left, err := suite.Passes(dir)
		if err != nil {
			return false, err
		}
		passes = append(passes, left...)
	}
	unmeant := reportSkips(out, passes)
	fmt.Fprintln(out)
	for _, line := range s.packages {
		fmt.Fprint(out, line)
	}
	return !s.failed && (!strict || unmeant == 0), nil
}

// stream follows the events of one run.
type stream struct {
	out       io.Writer
	pass      *suite.Pass
	collector *suite.Collector
	output    map[suite.Test][]string // of tests that are not over, by test
	packages  []string                // go test's own closing lines
	failed    bool
}

func (s *stream) read(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var e suite.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			// go says some things, such as a build's errors, as they are.
			fmt.Fprintln(s.out, lines.Text())
			continue
		}
		s.event(e)
	}
	return lines.Err()
}

// event prints what a failed test said, when it is over, and drops what others did.
func (s *stream) event(e suite.Event) {
	s.collector.Add(e)
	test := suite.Test{Package: e.Package, Name: e.Test}
	switch e.Action {
	case "output", "build-output":
		s.output[test] = append(s.output[test], e.Output)
	case "build-fail":
		s.failed = true
		s.flush(test)
	case "fail":
		s.failed = true
		if e.Test == "" {
			s.closePackage(test)
		}
		s.flush(test)
	case "pass", "skip":
		if e.Test == "" {
			s.closePackage(test)
		}
		delete(s.output, test)
	}
}

// closePackage keeps the last line that go test has for a package.
func (s *stream) closePackage(test suite.Test) {
	if lines := s.output[test]; len(lines) > 0 {
		s.packages = append(s.packages, lines[len(lines)-1])
		s.output[test] = lines[:len(lines)-1]
	}
}

func (s *stream) flush(test suite.Test) {
	for _, line := range s.output[test] {
		fmt.Fprint(s.out, line)
	}
	delete(s.output, test)
}
