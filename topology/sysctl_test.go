package topology_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	. "github.com/renest/renest/topology"
)

// TestSysctlNames keeps the tables in order, and everything that leads from one to
// the other within them.
func TestSysctlNames(t *testing.T) {
	all := map[string]bool{}
	for _, typ := range Types {
		names := SysctlNames(typ)
		if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
			t.Errorf("the settings of %s namespaces are not in order, or one is there twice", typ)
		}
		for _, name := range names {
			all[name] = true
			if value, ok := SysctlDefault(name); ok != (typ != Net) || ok == (value == "") {
				t.Errorf("%s: default %q, %v", name, value, ok)
			}
		}
	}
	leaders := 0
	for name := range all {
		for _, follower := range SysctlFollowers(name) {
			leaders++
			if !all[follower] {
				t.Errorf("%s, which follows %s, is not kept", follower, name)
			}
		}
	}
	if leaders == 0 {
		t.Error("no setting is followed by another")
	}
}

func TestSysctlsValidate(t *testing.T) {
	for _, tt := range []struct {
		name    string
		sysctls Sysctls
		want    string // the reason; none for valid ones
	}{
		{name: "none"},
		{name: "some", sysctls: Sysctls{{"kernel.msg_next_id", "-1"}, {"kernel.sem", "250 32000 32 128"}, {"kernel.shmmax", "18446744073709551615"}}},
		{
			name: "of the whole host", sysctls: Sysctls{{"kernel.core_pattern", "1"}},
			want: `ipc:[40]: has the setting "kernel.core_pattern", which is none that is kept of a ipc namespace`,
		},
		{
			name: "of another type", sysctls: Sysctls{{"net.core.somaxconn", "1"}},
			want: `ipc:[40]: has the setting "net.core.somaxconn", which is none that is kept of a ipc namespace`,
		},
		{
			name: "climbing", sysctls: Sysctls{{"kernel.msgmax/../../core_pattern", "1"}},
			want: `ipc:[40]: has the setting "kernel.msgmax/../../core_pattern", which is none that is kept of a ipc namespace`,
		},
		{
			name: "twice", sysctls: Sysctls{{"kernel.msgmax", "1"}, {"kernel.msgmax", "2"}},
			want: `ipc:[40]: its settings are not in order at "kernel.msgmax"`,
		},
		{name: "empty", sysctls: Sysctls{{"kernel.msgmax", ""}}, want: `ipc:[40]: its setting kernel.msgmax is "", which is no list of numbers`},
		{name: "word", sysctls: Sysctls{{"kernel.msgmax", "|/bin/sh"}}, want: `ipc:[40]: its setting kernel.msgmax is "|/bin/sh", which is no list of numbers`},
		{name: "two lines", sysctls: Sysctls{{"kernel.msgmax", "1\n2"}}, want: `ipc:[40]: its setting kernel.msgmax is "1\n2", which is no list of numbers`},
		{name: "space at the end", sysctls: Sysctls{{"kernel.msgmax", "1 "}}, want: `ipc:[40]: its setting kernel.msgmax is "1 ", which is no list of numbers`},
		{name: "minus alone", sysctls: Sysctls{{"kernel.msgmax", "1 -"}}, want: `ipc:[40]: its setting kernel.msgmax is "1 -", which is no list of numbers`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := newNest()
			x.g.Namespaces = append(x.g.Namespaces, &Namespace{Type: IPC, Ino: 40, Owner: x.a, IPC: &IPCState{Sysctls: tt.sysctls}})
			got := ""
			if err := x.g.Validate(); err != nil {
				got = err.Error()
			}
			if tt.want == "" && got != "" || !strings.HasSuffix(got, tt.want) {
				t.Errorf("(-want +got)\n%s", cmp.Diff(tt.want, got))
			}
		})
	}
}

func TestSysctlsGet(t *testing.T) {
	s := Sysctls{{"b", "2"}, {"a", "1"}}
	s.Sort()
	for name, want := range map[string]string{"a": "1", "b": "2", "c": ""} {
		if got, ok := s.Get(name); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v", name, got, ok)
		}
	}
}
