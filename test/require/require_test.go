package require_test

import (
	"errors"
	"testing"

	"github.com/renest/renest/test/require"
)

// recorder is a test that notes how it ends instead of ending.
type recorder struct {
	testing.TB
	ended string
}

func (r *recorder) Helper()               {}
func (r *recorder) Skipf(string, ...any)  { r.ended = "skip" }
func (r *recorder) Fatalf(string, ...any) { r.ended = "fail"; panic(r) }

func TestThat(t *testing.T) {
	lack := errors.New("not here")
	for _, tt := range []struct {
		name, variable string
		err            error
		want           string
	}{
		{"there", "x", nil, ""},
		{"missing", "", lack, "skip"},
		{"missing, another demanded", "xy,z", lack, "skip"},
		{"missing, demanded", "z,x", lack, "fail"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(require.Variable, tt.variable)
			r := &recorder{TB: t}
			func() {
				defer func() { _ = recover() }()
				require.That(r, "x", tt.err)
			}()
			if r.ended != tt.want {
				t.Errorf("ended by %q, want %q", r.ended, tt.want)
			}
		})
	}
}
