package dump

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMissing(t *testing.T) {
	var m missing
	for i := range 20 {
		m.add(fmt.Sprintf("pid %02d", 19-i), "links: permission denied")
		m.add("pid 03", "links: permission denied")
		m.add("pid 18", "links: permission denied")
	}
	m.add("net:[1]", "owner: outside")
	m.add("net:[1]", "bind mount /a\nb cannot be opened")
	got := m.lines()
	want := []string{`net:[1]: bind mount /a\nb cannot be opened`, "net:[1]: owner: outside"}
	for i := range 16 {
		want = append(want, fmt.Sprintf("pid %02d: links: permission denied", i))
	}
	want = append(want, "… and 4 more: links: permission denied")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
