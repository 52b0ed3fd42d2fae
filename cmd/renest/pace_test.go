package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestPace has looks take as long as it says, and wants to be told of each time
// in which more than was told can have been missed.
func TestPace(t *testing.T) {
	const ms = time.Millisecond
	tests := map[string]struct {
		takes []time.Duration // the first look's, which is before anything is watched, and so on
		next  []time.Duration // from the start of each look to that of the next
		told  []time.Duration // after each but the first
	}{
		"at once": {
			takes: []time.Duration{0, 0, 0},
			next:  []time.Duration{875 * ms, 875 * ms, 875 * ms},
			told:  []time.Duration{0, 0},
		},
		"in time": {
			takes: []time.Duration{100 * ms, 120 * ms, 100 * ms},
			next:  []time.Duration{775 * ms, 755 * ms, 775 * ms},
			told:  []time.Duration{0, 0},
		},
		"once late": {
			takes: []time.Duration{100 * ms, 300 * ms, 100 * ms, 400 * ms},
			next:  []time.Duration{775 * ms, 600 * ms, 775 * ms, 800 * ms},
			told:  []time.Duration{1080 * ms, 0, 1180 * ms},
		},
		"slow": {
			takes: []time.Duration{2000 * ms, 2000 * ms, 1999 * ms, 2100 * ms, 2000 * ms},
			next:  []time.Duration{4000 * ms, 4000 * ms, 3998 * ms, 4200 * ms, 4000 * ms},
			told:  []time.Duration{6010 * ms, 0, 6100 * ms, 6210 * ms},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			start := time.Unix(0, 0)
			var p pace
			var next, told []time.Duration
			for i, takes := range test.takes {
				if i == 0 {
					p = pace{interval: time.Second, start: start, took: takes, told: time.Second}
				} else {
					told = append(told, p.looked(start, start.Add(takes)))
				}
				next = append(next, p.next().Sub(start))
				start = p.next()
			}
			if d := cmp.Diff(test.next, next); d != "" {
				t.Errorf("next looks (-want +got):\n%s", d)
			}
			if d := cmp.Diff(test.told, told); d != "" {
				t.Errorf("told (-want +got):\n%s", d)
			}
		})
	}
}
