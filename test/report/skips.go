package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/renest/renest/test/require"
	"github.com/renest/renest/test/suite"
)

// reportSkips lists the skips of every pass by reason, and returns how many
// nobody meant.
func reportSkips(out io.Writer, passes []*suite.Pass) int {
	ran := map[suite.Test]bool{}
	for _, p := range passes {
		for test, o := range p.Tests {
			if o.Action != "skip" {
				ran[test] = true
			}
		}
	}
	unmeant := 0
	for _, p := range passes {
		fmt.Fprintf(out, "\n%s: %d passed, %d failed, %d skipped\n", p.Name, p.Count("", "pass"), p.Count("", "fail"), p.Count("", "skip"))
		for _, group := range byReason(p) {
			fmt.Fprintf(out, "  %3d %s: %s\n", len(group.tests), group.reason, some(group.tests))
			if !strings.HasPrefix(group.reason, require.Prefix) {
				fmt.Fprintf(out, "      UNEXPECTED: the reason does not begin with %q\n", require.Prefix)
				unmeant += len(group.tests)
			}
		}
	}
	for _, test := range neverRan(passes, ran) {
		fmt.Fprintf(out, "UNEXPECTED: %s %s was skipped in every pass\n", test.Package, test.Name)
		unmeant++
	}
	return unmeant
}

// group is the tests that were skipped for one reason.
type group struct {
	reason string
	tests  []suite.Test
}

func byReason(p *suite.Pass) []group {
	tests := map[string][]suite.Test{}
	for _, t := range p.Sorted("skip") {
		tests[p.Tests[t].Reason] = append(tests[p.Tests[t].Reason], t)
	}
	var groups []group
	for _, reason := range slices.Sorted(maps.Keys(tests)) {
		groups = append(groups, group{reason, tests[reason]})
	}
	return groups
}

// some names the first few tests.
func some(tests []suite.Test) string {
	const most = 4
	var names []string
	for _, t := range tests[:min(most, len(tests))] {
		names = append(names, t.Name)
	}
	if len(tests) > most {
		names = append(names, "…")
	}
	return strings.Join(names, " ")
}

// neverRan returns the tests that no pass ran.
func neverRan(passes []*suite.Pass, ran map[suite.Test]bool) []suite.Test {
	never := suite.NewPass("")
	for _, p := range passes {
		for test := range p.Tests {
			if !ran[test] {
				never.Tests[test] = suite.Outcome{Action: "skip"}
			}
		}
	}
	return never.Sorted("skip")
}
