package dump

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/renest/renest/dump/forecast"
	"github.com/renest/renest/topology"
)

func TestPromise(t *testing.T) {
	owner := forecast.Finding{Rule: forecast.Owner, Verdict: forecast.Loses, Type: topology.Net}
	mounts := forecast.Finding{Rule: forecast.Owner, Verdict: forecast.Loses, Type: topology.Mnt}
	zombie := forecast.Finding{Rule: forecast.Zombie, Verdict: forecast.Loses, Type: topology.User}
	tests := map[string]struct {
		before, after []forecast.Finding
		broken        bool
	}{
		"nothing":      {nil, nil, false},
		"the same":     {[]forecast.Finding{owner}, []forecast.Finding{owner, owner}, false},
		"less":         {[]forecast.Finding{owner, mounts}, []forecast.Finding{mounts}, false},
		"another type": {[]forecast.Finding{owner}, []forecast.Finding{mounts}, true},
		"new":          {nil, []forecast.Finding{owner}, true},
		"a zombie":     {nil, []forecast.Finding{zombie}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := promise(tt.before)
			text, err := p.Encode()
			if err != nil {
				t.Fatal(err)
			}
			again, err := DecodePromise(text)
			if diff := cmp.Diff(p, again); err != nil || diff != "" {
				t.Fatalf("decoded: %v\n%s", err, diff)
			}
			if err := again.broken(tt.after); errors.Is(err, ErrVeto) != tt.broken {
				t.Errorf("error %v, want one: %t", err, tt.broken)
			}
		})
	}
	if err := (*Promise)(nil).broken([]forecast.Finding{owner}); err != nil {
		t.Errorf("without a promise: %v", err)
	}
	if _, err := DecodePromise([]byte("[")); err == nil || !strings.Contains(err.Error(), "promise") {
		t.Errorf("damaged: %v", err)
	}
}
