package topology_test

import (
	"math/rand/v2"
	"testing"
	"time"

	. "github.com/renest/renest/topology"
)

// TestOffset holds sums against those of durations.
func TestOffset(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 10000 {
		a := time.Duration(rng.Int64N(4e9) - 2e9)
		b := time.Duration(rng.Int64N(4e9) - 2e9)
		x, y := DurationOffset(a), DurationOffset(b)
		if got, want := x.Add(y), DurationOffset(a+b); got != want {
			t.Fatalf("%v + %v is %v, want %v", x, y, got, want)
		}
		if got, want := x.Sub(y), DurationOffset(a-b); got != want {
			t.Fatalf("%v - %v is %v, want %v", x, y, got, want)
		}
	}
}
