package topology_test

import (
	"testing"

	. "github.com/renest/renest/topology"
)

func TestHierarchy(t *testing.T) {
	x := newNest()
	for _, tt := range []struct {
		a, b *Namespace
		want bool
	}{
		{x.host, x.c, true},
		{x.a, x.c, true},
		{x.b, x.c, false},
		{x.c, x.c, false},
		{x.c, x.a, false},
		{nil, x.a, false},
		{x.a, nil, false},
	} {
		if got := IsAncestor(tt.a, tt.b); got != tt.want {
			t.Errorf("IsAncestor(%v, %v) = %v", tt.a, tt.b, got)
		}
	}
	if got := x.pidC.Level(); got != 2 {
		t.Errorf("level of %s is %d", x.pidC.Name(), got)
	}
}
