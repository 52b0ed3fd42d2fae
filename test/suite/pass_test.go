package suite_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/renest/renest/test/require"
	"github.com/renest/renest/test/suite"
)

func TestPassRead(t *testing.T) {
	require.Command(t, "go", "golang")
	// What a test binary prints under -test.v=test2json, with the mark that
	// tells its own lines from the tests'.
	output := strings.ReplaceAll(`^=== RUN   TestA
^--- PASS: TestA (0.00s)
^=== NAME  
^=== RUN   TestB
    b_test.go:7: needs root: running as uid 65534
^--- SKIP: TestB (0.00s)
^=== NAME  
^=== RUN   TestC
^=== RUN   TestC/sub
    c_test.go:9: broken
^--- FAIL: TestC/sub (0.00s)
^=== NAME  TestC
^--- FAIL: TestC (0.00s)
^=== NAME  
^FAIL
`, "^", "\x16")
	got := suite.NewPass("p")
	failed, err := got.Read(t.Context(), "x/y", output)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(failed, "c_test.go:9: broken\n") || strings.Contains(failed, "b_test.go") {
		t.Errorf("what failed tests printed: %q", failed)
	}
	want := &suite.Pass{Name: "p", Tests: map[suite.Test]suite.Outcome{
		{Package: "x/y", Name: "TestA"}:     {Action: "pass"},
		{Package: "x/y", Name: "TestB"}:     {Action: "skip", Reason: "needs root: running as uid 65534"},
		{Package: "x/y", Name: "TestC"}:     {Action: "fail"},
		{Package: "x/y", Name: "TestC/sub"}: {Action: "fail"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pass (-want +got):\n%s", diff)
	}

	dir := t.TempDir()
	t.Setenv(suite.ResultsVariable, dir)
	if err := got.Leave(); err != nil {
		t.Fatal(err)
	}
	back, err := suite.Passes(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]*suite.Pass{want}, back); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}
