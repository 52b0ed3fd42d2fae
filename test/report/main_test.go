package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/renest/renest/test/suite"
)

const events = `{"Action":"output","Package":"a","Test":"TestA","Output":"fine\n"}
{"Action":"pass","Package":"a","Test":"TestA"}
{"Action":"output","Package":"a","Test":"TestB","Output":"    b_test.go:1: needs root: not root\n"}
{"Action":"skip","Package":"a","Test":"TestB"}
{"Action":"output","Package":"a","Output":"ok  \ta\t0.1s\n"}
{"Action":"pass","Package":"a"}
`

const failure = `{"Action":"output","Package":"b","Test":"TestC","Output":"broken\n"}
{"Action":"fail","Package":"b","Test":"TestC"}
{"Action":"output","Package":"b","Output":"panic\n"}
{"Action":"output","Package":"b","Output":"FAIL\tb\t0.1s\n"}
{"Action":"fail","Package":"b"}
`

func TestRun(t *testing.T) {
	b := suite.Test{Package: "a", Name: "TestB"}
	for _, tt := range []struct {
		name, in string
		other    suite.Outcome // of TestB in another pass
		strict   bool
		ok       bool
		want     string
	}{
		{
			name: "ran elsewhere", in: events, other: suite.Outcome{Action: "pass"}, strict: true, ok: true,
			want: "\nhost: 1 passed, 0 failed, 1 skipped\n    1 needs root: not root: TestB\n" +
				"\nother: 1 passed, 0 failed, 0 skipped\n\nok  \ta\t0.1s\n",
		},
		{
			name: "ran nowhere", in: events, other: suite.Outcome{Action: "skip", Reason: "tired"}, strict: true,
			want: "\nhost: 1 passed, 0 failed, 1 skipped\n    1 needs root: not root: TestB\n" +
				"\nother: 0 passed, 0 failed, 1 skipped\n    1 tired: TestB\n" +
				"      UNEXPECTED: the reason does not begin with \"needs \"\n" +
				"UNEXPECTED: a TestB was skipped in every pass\n\nok  \ta\t0.1s\n",
		},
		{
			name: "failed", in: events + "go: some complaint\n" + failure, other: suite.Outcome{Action: "pass"},
			want: "go: some complaint\nbroken\npanic\n" +
				"\nhost: 1 passed, 1 failed, 1 skipped\n    1 needs root: not root: TestB\n" +
				"\nother: 1 passed, 0 failed, 0 skipped\n\nok  \ta\t0.1s\nFAIL\tb\t0.1s\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			t.Setenv(suite.ResultsVariable, dir)
			other := &suite.Pass{Name: "other", Tests: map[suite.Test]suite.Outcome{b: tt.other}}
			if err := other.Leave(); err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			ok, err := run(strings.NewReader(tt.in), &out, dir, tt.strict)
			if err != nil {
				t.Fatal(err)
			}
			if ok != tt.ok {
				t.Errorf("ok is %t, want %t", ok, tt.ok)
			}
			if diff := cmp.Diff(tt.want, out.String()); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
		})
	}
}
