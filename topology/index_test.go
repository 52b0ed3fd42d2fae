package topology_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	. "github.com/renest/renest/topology"
)

func TestIndex(t *testing.T) {
	x := newNest()
	i := x.g.Index()
	list := func(l []*Namespace) (out []string) {
		for _, n := range l {
			out = append(out, n.Name())
		}
		return out
	}
	if got := i.Lookup(UTS, 30); got != x.uts {
		t.Errorf("Lookup(uts, 30) = %v", got)
	}
	if got := i.Lookup(UTS, 31); got != nil {
		t.Errorf("Lookup(uts, 31) = %v", got)
	}
	if i.Contains(&Namespace{Type: UTS, Ino: 30}) || !i.Contains(x.uts) {
		t.Error("Contains goes by something else than identity")
	}
	want := []string{"user:[12]", "pid:[20]", "uts:[30]", "mnt:[33]"}
	if diff := cmp.Diff(want, list(i.Owned(x.a))); diff != "" {
		t.Errorf("Owned (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"pid:[21]"}, list(i.Children(x.pidA))); diff != "" {
		t.Errorf("Children (-want +got):\n%s", diff)
	}
	if got := i.Owned(&Namespace{}); got != nil {
		t.Errorf("Owned of a stranger: %v", got)
	}
}
