package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/renest/renest/topology"
)

// TestCapsLive: every way to refer to a namespace leads to the same answer.
func TestCapsLive(t *testing.T) {
	pid := sleeper(t)
	number := strconv.Itoa(pid)
	start := startOf(t, pid)
	uts, user := link(t, pid, "uts"), link(t, pid, "user")
	for _, ref := range []string{uts, number + "/uts", number + ":" + start + "/uts", "/proc/" + number + "/ns/uts"} {
		got := renest(t, nil, "caps", number+":"+start, ref, "--json")
		var a actorJSON
		if err := json.Unmarshal([]byte(got.Stdout), &a); err != nil {
			t.Fatalf("%s: %v in %+v", ref, err, got)
		}
		if *a.Namespace != uts || *a.User != user || a.Rule != "own" || len(a.Held) != topology.AllCaps.Len() || !a.Join.Allowed || fmt.Sprint(a.Start) != start {
			t.Errorf("%s: %s", ref, got.Stdout)
		}
	}
	tests := []struct {
		args string
		want int
		says string
	}{
		{"caps self " + uts, 0, "the task's own"}, // of the host, or of a container
		{"caps " + number + " self/uts", 0, "no capability"},
		{"caps " + number + " " + user, 0, "nobody joins its own user namespace"},
		{"caps " + number + ":1 " + uts, 1, "the one started at 1 is gone"},
		{"caps " + number + " uts:[1]", 1, "there is no uts:[1] in sight"},
		{"caps " + number + " /etc/passwd", 1, "not a namespace"},
		{"caps 2147483647 " + uts, 1, "there is no process"},
	}
	for _, tt := range tests {
		got := renest(t, nil, strings.Fields(tt.args)...)
		if got.Code != tt.want || !strings.Contains(got.Stdout+got.Stderr, tt.says) {
			t.Errorf("renest %s: %+v, want exit %d and %q", tt.args, got, tt.want, tt.says)
		}
	}
}

// startOf returns the start time of a process.
func startOf(t *testing.T, pid int) string {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))[19]
}

// TestWhoLive: the task in a namespace, and its creator, may act on it; a thread
// of another user's may not.
func TestWhoLive(t *testing.T) {
	pid := sleeper(t)
	got := renest(t, nil, "who", strconv.Itoa(pid)+"/uts", "--json", "--cap", "sys_admin")
	var w whoJSON
	if err := json.Unmarshal([]byte(got.Stdout), &w); err != nil {
		t.Fatalf("%v in %+v", err, got)
	}
	rules := map[int]string{}
	for _, a := range w.Tasks {
		if !slices.Contains(a.Held, "CAP_SYS_ADMIN") {
			t.Errorf("pid %d holds %v", a.PID, a.Held)
		}
		rules[a.PID] = a.Rule
	}
	if rules[pid] != "own" || rules[os.Getpid()] == "" {
		t.Errorf("by pid: %v", rules)
	}
	if w.Namespace != link(t, pid, "uts") || w.Complete != (len(w.Missing) == 0) {
		t.Errorf("%s, complete %v, missing %q", w.Namespace, w.Complete, w.Missing)
	}
	text := renest(t, nil, "who", strconv.Itoa(pid)+"/uts")
	if text.Code != 0 || !strings.Contains(text.Stdout, "\n"+strconv.Itoa(pid)+" ") {
		t.Errorf("%+v", text)
	}
}

// TestWhyLive: each thing that keeps a namespace is named, and where there is
// none it says so.
func TestWhyLive(t *testing.T) {
	pid := sleeper(t)
	number := strconv.Itoa(pid)
	held, err := os.Open("/proc/" + number + "/ns/uts")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	got := renest(t, nil, "why", number+"/uts")
	for _, says := range []string{link(t, pid, "uts") + ", active", "task  pid " + number, fmt.Sprintf("fd    %d of pid %d", held.Fd(), os.Getpid())} {
		if !strings.Contains(got.Stdout, says) {
			t.Errorf("%+v does not say %q", got, says)
		}
	}
	got = renest(t, nil, "why", link(t, pid, "user"), "--json")
	var w struct {
		Namespace struct {
			Name string
			Pins []struct {
				Kind string
				PID  int
				NS   string
			}
		}
		OutOfSight bool `json:"out_of_sight"`
	}
	if err := json.Unmarshal([]byte(got.Stdout), &w); err != nil {
		t.Fatalf("%v in %+v", err, got)
	}
	owned, task := false, false
	for _, p := range w.Namespace.Pins {
		owned = owned || p.Kind == "owned" && p.NS == link(t, pid, "uts")
		task = task || p.Kind == "task" && p.PID == pid
	}
	if !owned || !task || w.OutOfSight {
		t.Errorf("%s", got.Stdout)
	}
}

// TestWhyText writes pins of every kind, more than fit, and none.
func TestWhyText(t *testing.T) {
	g := sample()
	ended := &topology.Task{PID: 4799, TID: 4799, Comm: "over"}
	ended.Namespaces[topology.InUser] = g.Namespaces[0]
	g.Tasks = append(g.Tasks, ended)
	mnt := &topology.Namespace{Type: topology.Mnt, Ino: 4026530001}
	net := &topology.Namespace{Type: topology.Net, Ino: 4026530002, Pins: []topology.Pin{
		{Kind: topology.PinTask, PID: 4711},
		{Kind: topology.PinTask, PID: 4799},
		{Kind: topology.PinThread, PID: 4711, TID: 4713},
		{Kind: topology.PinPIDForChildren, PID: 4711},
		{Kind: topology.PinTimeForChildren, PID: 4712},
		{Kind: topology.PinFD, PID: 4711, FD: 0},
		{Kind: topology.PinBind, Path: "/run/a\nb", Mnt: mnt},
		{Kind: topology.PinBind, Path: "/run/c"},
		{Kind: topology.PinSocket, PID: 4712, FD: 7},
		{Kind: topology.PinSocket, PID: 4712, TID: 4713, FD: 7},
		{Kind: topology.PinInFlight, PID: 4712, FD: 8},
		{Kind: topology.PinChild, NS: mnt},
		{Kind: topology.PinOwned, NS: mnt},
	}}
	many := &topology.Namespace{Type: topology.UTS, Ino: 4026530003, State: topology.Hidden}
	for i := range 21 {
		many.Pins = append(many.Pins, topology.Pin{Kind: topology.PinTask, PID: i + 1})
	}
	exact := &topology.Namespace{Type: topology.UTS, Ino: 4026530004, Pins: many.Pins[:20]}
	none := &topology.Namespace{Type: topology.User, Ino: 4026530005}
	var out strings.Builder
	for _, n := range []*topology.Namespace{net, many, exact, none} {
		if err := writePins(&out, g, n); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "why", "why", result{Stdout: out.String()})
}
