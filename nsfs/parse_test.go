//go:build linux

package nsfs

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseBind(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		want       Bind
		ok         bool
	}{
		{"ip netns", `511 29 0:4 net:[4026532290] /run/netns/x rw shared:233 - nsfs nsfs rw`, Bind{Ref{Net, 4026532290}, "/run/netns/x", 511}, true},
		{"blanks", `1 2 0:4 mnt:[7] /a\040b\134\043 rw - nsfs nsfs rw`, Bind{Ref{Mnt, 7}, `/a b\#`, 1}, true},
		{"no optional field", `1 2 0:4 user:[7] / rw - nsfs nsfs rw`, Bind{Ref{User, 7}, "/", 1}, true},
		{"another file system", `22 1 0:21 / /proc rw,nosuid - proc proc rw`, Bind{}, false},
		{"a name like one", `22 1 0:21 /net:[1] /mnt rw - ext4 /dev/vda rw`, Bind{}, false},
		{"cut off", `511 29 0:4 net:[4026532290]`, Bind{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := parseBind([]byte(tt.line))
			if diff := cmp.Diff(tt.want, got); diff != "" || ok != tt.ok {
				t.Errorf("%v (-want +got):\n%s", ok, diff)
			}
		})
	}
}

func TestParseStatus(t *testing.T) {
	var got Status
	got.parse([]byte("Name:\ta\\\\b\\nc\nUmask:\t0022\nState:\tZ (zombie)\nTgid:\t10\nPid:\t11\nPPid:\t3\n" +
		"Uid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t1 4294967294 \nNSpid:\t11\t5\t1\nNSsid:\t9\t3\t7\nKthread:\t0\nThreads:\t4\nSigQ:\t0/1\nThreads:\t9\n"))
	want := Status{
		Name: "a\\b\nc", State: 'Z', TGID: 10, PID: 11, PPID: 3, Threads: 4,
		UID: [4]uint32{1, 2, 3, 4}, GID: [4]uint32{5, 6, 7, 8}, Groups: []uint32{1, 4294967294}, NSPID: []int{11, 5, 1}, Session: 7,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.parse([]byte("Groups:\t \nNSpid:\t4\n")); len(got.Groups) != 0 {
		t.Errorf("groups %v of none", got.Groups)
	}
}

func TestReadLines(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for _, tt := range []struct {
		name, in string
		want     []string
	}{
		{"empty", "", nil},
		{"lines", "a\nb\n", []string{"a", "b"}},
		{"no newline at the end", "a\nb", []string{"a", "b"}},
		{"longer than the buffer", long + "\nb\n", []string{long, "b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := strings.NewReader(tt.in)
			var got []string
			err := readLines(func(b []byte) (int, error) {
				n, err := r.Read(b[:min(len(b), 3000)])
				if err == io.EOF {
					err = nil
				}
				return n, err
			}, func(line []byte) bool { got = append(got, string(line)); return true })
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
	endless := func(b []byte) (int, error) { return len(b), nil }
	if err := readLines(endless, func([]byte) bool { return true }); err == nil {
		t.Error("a line without an end: no error")
	}
}

func FuzzParseRef(f *testing.F) {
	f.Add("net:[4026531840]")
	f.Add("user:[18446744073709551615]")
	f.Add("user:[18446744073709551616]")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRef(s)
		if err == nil && strings.TrimLeft(s[strings.IndexByte(s, '[')+1:], "0") != strings.TrimLeft(r.String()[strings.IndexByte(r.String(), '[')+1:], "0") {
			t.Errorf("%q is read as %q", s, r)
		}
	})
}

func FuzzParseIDMap(f *testing.F) {
	f.Add([]byte("         0     100000      65536\n"))
	f.Add([]byte("0 0 4294967295\n1 2 3"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseIDMap(b)
		if err == nil && len(m) > bytes.Count(b, []byte{'\n'})+1 {
			t.Errorf("%q has %d extents", b, len(m))
		}
	})
}

func FuzzParseMountinfo(f *testing.F) {
	f.Add([]byte("511 29 0:4 net:[4026532290] /run/netns/x rw shared:233 - nsfs nsfs rw"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, ok := parseBind(b); ok && !got.Ref.Type.Valid() {
			t.Errorf("%q gives %v", b, got)
		}
	})
}

func FuzzParseStatus(f *testing.F) {
	f.Add([]byte("Name:\tx\nUid:\t1\t2\n"))
	f.Fuzz(func(_ *testing.T, b []byte) { new(Status).parse(b) })
}

func TestTypes(t *testing.T) {
	for i, typ := range Types {
		got, err := ParseType(typ.String())
		if err != nil || got != typ || Link(i).Type() != typ || Link(i).String() != typ.String() {
			t.Errorf("%s: %v, %v, link %s of %s", typ, got, err, Link(i), Link(i).Type())
		}
	}
	if _, err := ParseType("network"); err == nil {
		t.Error("network: no error")
	}
}

func TestParseHidepid(t *testing.T) {
	for _, tt := range []struct {
		options, hidepid string
		group            int
	}{
		{options: "rw"},
		{options: "rw,subset=pid"},
		{options: "rw,hidepid=off"},
		{options: "rw,hidepid=invisible", hidepid: "hidepid=invisible"},
		{options: "rw,gid=42,hidepid=2", hidepid: "hidepid=2", group: 42},
		{options: "rw,hidepid=ptraceable,subset=pid", hidepid: "hidepid=ptraceable"},
	} {
		hidepid, group := parseHidepid([]byte("23 1 0:21 / /proc rw,relatime - proc proc " + tt.options))
		if hidepid != tt.hidepid || group != tt.group {
			t.Errorf("%s: %q, %d", tt.options, hidepid, group)
		}
	}
}
