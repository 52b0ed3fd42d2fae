package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTableFits: what can be spared is left out where there is no room for it, and the
// last column is cut off.
func TestTableFits(t *testing.T) {
	for _, tt := range []struct {
		width int
		want  []string
	}{
		{-1, []string{"NAME   ID   COMMAND", "net:1  123  a-long-name", "é:2    4    b"}},
		{24, []string{"NAME   ID   COMMAND", "net:1  123  a-long-name", "é:2    4    b"}},
		{22, []string{"NAME   COMMAND", "net:1  a-long-name", "é:2    b"}},
		{17, []string{"NAME   COMMAND", "net:1  a-long-na…", "é:2    b"}},
		{1, []string{"NAME   C…", "net:1  a…", "é:2    b"}},
	} {
		table := newTable("NAME", "ID", "COMMAND")
		for _, cell := range []string{"net:1", "123", "a-long-name", "é:2", "4", "b"} {
			table.cell(cell)
		}
		table.fit(tt.width, 1)
		var b strings.Builder
		if err := table.write(&b); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Join(tt.want, "\n")+"\n", b.String()); diff != "" {
			t.Errorf("width %d (-want +got):\n%s", tt.width, diff)
		}
	}
}
