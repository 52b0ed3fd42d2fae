package seed_test

import (
	"testing"

	"github.com/renest/renest/test/seed"
)

func TestOf(t *testing.T) {
	t.Setenv(seed.Variable, "")
	if one, two := seed.Of(t), seed.Of(t); one != two {
		t.Errorf("%d, and then %d", one, two)
	}
	t.Setenv(seed.Variable, "4711")
	if got := seed.Of(t); got != 4711 {
		t.Errorf("%d, want 4711", got)
	}
	t.Setenv(seed.Variable, "new")
	if one, two := seed.Of(t), seed.Of(t); one == two {
		t.Errorf("%d twice", one)
	}
}
