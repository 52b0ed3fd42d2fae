package topology_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	. "github.com/renest/renest/topology"
)

var update = flag.Bool("update", false, "write golden files anew")

// TestJSON holds the form that is promised to stay against a file: a diff in
// which a line is changed or gone is a promise broken.
func TestJSON(t *testing.T) {
	x := newNest()
	x.g.Header = Header{
		Version: 1, Tool: "renest 0.1.0", Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Hostname: "host", BootID: "01234567-89ab-cdef-0123-456789abcdef", Kernel: "6.18.44",
		Source: "listns", Root: 100, Missing: []string{"net:[32]: owner: permission denied"},
	}
	x.a.ID = 812
	x.c.User, x.net.Owner, x.pidC.Parent = nil, nil, nil
	x.time.Time.Monotonic = Offset{Sec: -1, Nsec: 500000000}
	x.g.Header.Clocks = &TimeState{Monotonic: Offset{Sec: 5}, Boottime: Offset{Sec: 6, Nsec: 7}}
	x.a.User.Sysctls = Sysctls{{"user.max_net_namespaces", "5"}}
	x.a.User.ProjIDMap = []Extent{{0, 1, 2}}
	x.net.Net = &NetState{Loopback: true, Sysctls: Sysctls{{"net.core.somaxconn", "9"}, {"net.ipv4.ip_local_port_range", "1024 2048"}}}
	x.pidA.PID = &PIDState{Init: 100, PIDMax: 32768, LastPID: 7}
	cgroup := &Namespace{Type: Cgroup, Ino: 34, Owner: x.a, Cgroup: &CgroupState{Root: "/a.slice"}}
	x.g.Namespaces = append(x.g.Namespaces, cgroup)
	x.net.State = Hidden
	x.net.Pins = []Pin{
		{Kind: PinTask, PID: 100},
		{Kind: PinThread, PID: 100, TID: 101},
		{Kind: PinFD, PID: 9},
		{Kind: PinBind, Path: "/run/netns/x", Mnt: x.mnt},
		{Kind: PinBind, Path: "/elsewhere"},
		{Kind: PinSocket, PID: 9, FD: 3},
	}
	x.pidA.Pins = []Pin{{Kind: PinPIDForChildren, PID: 100, TID: 100}, {Kind: PinChild, NS: x.pidC}}
	x.time.Pins = []Pin{{Kind: PinTimeForChildren, PID: 100, TID: 102}}
	x.b.Pins = []Pin{{Kind: PinOwned, NS: x.time}}
	x.g.Tasks = append(x.g.Tasks, &Task{PID: 100, TID: 101, Comm: "thread"})

	got, err := json.MarshalIndent(x.g, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	const golden = "testdata/graph.json"
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("MarshalJSON (-want +got):\n%s", diff)
	}
	var written, indented bytes.Buffer
	if err := errors.Join(WriteJSON(&written, x.g), json.Indent(&indented, got, "", " ")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(indented.String(), written.String()); diff != "" {
		t.Errorf("WriteJSON (-MarshalJSON +got):\n%s", diff)
	}
}

func TestJSONEmpty(t *testing.T) {
	got, err := json.Marshal(&Graph{})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"header":{"version":0,"tool":"","created":"0001-01-01T00:00:00Z","hostname":"","boot_id":"",` +
		`"kernel":"","source":"","complete":false,"missing":[]},"namespaces":[],"tasks":[]}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("MarshalJSON (-want +got):\n%s", diff)
	}
	var written bytes.Buffer
	if err := WriteJSON(&written, &Graph{}); err != nil || !strings.HasSuffix(written.String(), "\n \"namespaces\": [],\n \"tasks\": []\n}\n") {
		t.Errorf("WriteJSON: %v, %s", err, written.String())
	}
	if bytes.Contains(got, []byte("null")) {
		t.Error("a list is null")
	}
}
