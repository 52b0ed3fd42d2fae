package topology_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	. "github.com/renest/renest/topology"
)

func TestParseName(t *testing.T) {
	for _, tt := range []struct {
		text, want string
	}{
		{"net:[4026531840]", "net 4026531840"},
		{"net:4026531840", `parse namespace "net:4026531840": not of the form net:[4026531840]`},
		{"net:[x]", `parse namespace "net:[x]": "x" is no inode number`},
		{"nte:[1]", `parse namespace "nte:[1]": unknown namespace type "nte" ` +
			`(known: user, mnt, uts, ipc, pid, cgroup, net, time)`},
	} {
		typ, ino, err := ParseName(tt.text)
		got := fmt.Sprint(typ, " ", ino)
		if err != nil {
			got = err.Error()
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("ParseName(%q) (-want +got):\n%s", tt.text, diff)
		}
	}
}
