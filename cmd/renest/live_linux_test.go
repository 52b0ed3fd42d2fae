package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/renest/renest/images"
)

// sleeper starts a process in a user and a uts namespace of its own.
func sleeper(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("sleep", "300")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWUTS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("no user namespace to be had: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may be gone
		_ = cmd.Wait()         // killed
	})
	return cmd.Process.Pid
}

// link returns the kernel's name of a namespace of a process.
func link(t *testing.T, pid int, name string) string {
	t.Helper()
	s, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, name))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestLive dumps a process in every way and compares it with itself.
func TestLive(t *testing.T) {
	t.Chdir(t.TempDir())
	pid := sleeper(t)
	sleeper(t) // so that the host holds more than the tree
	number := strconv.Itoa(pid)
	user, uts, start := link(t, pid, "user"), link(t, pid, "uts"), startOf(t, pid)

	steps := []struct {
		args string
		want int
		says string
	}{
		{args: "dump -t " + number},
		{args: "dump -t " + number + ":" + start + " -D new"},
		{args: "dump --tree " + number + " -o file.img --source proc"},
		{args: "show .", says: uts},
		{args: "show new", says: "the tree of pid " + number},
		{args: "diff new file.img"},
		{args: "diff . live:" + number},
		{args: "diff . live:" + number + ":" + start + " --tasks"},
		{args: "diff . live"}, // that tree is there
		{args: "tree", says: user},
		{args: "tree live:" + number, says: uts},
		{args: "tree --by parent", says: "pid:["},
		{args: "list", says: uts},
		{args: "list --owner " + number + "/user", says: uts},
		{args: "list --owner " + user + " --type uts,net", says: uts},
		{args: "list --owner self", says: user},
		{args: "list --owner /proc/" + number + "/ns/user", says: uts},
	}
	for _, s := range steps {
		got := renest(t, nil, strings.Fields(s.args)...)
		if got.Code != s.want || !strings.Contains(got.Stdout, s.says) {
			t.Errorf("renest %s: %+v, want exit %d and %q", s.args, got, s.want, s.says)
		}
	}
	for _, path := range []string{images.Name, filepath.Join("new", images.Name), "file.img"} {
		if _, err := images.ReadFile(path); err != nil {
			t.Error(err)
		}
	}
}

// TestLiveRefused: what is asked for is not there.
func TestLiveRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	const number = "4194305" // PID_MAX_LIMIT (include/linux/threads.h) is below it
	self := strconv.Itoa(os.Getpid())
	tests := []struct {
		args string
		want int
		says string
	}{
		{"dump -t " + number, 1, number},
		{"dump -t " + number + " -D new", 1, number},
		{"dump -t " + self + ":1", 1, "the one started at 1 is gone"},
		{"diff live:" + self + ":1 live", 2, "the one started at 1 is gone"},
		{"dump --all -D no/such/dir", 1, "no/such/dir"},
		{"diff live:" + number + " live", 2, number},
		{"diff live:nosuchtree live", 2, "nosuchtree"},
		{"list --owner :18446744073709551615", 1, "there "}, // is none with it, or before Linux 6.18 none at all
		{"list --owner user:[1]", 1, "there is no user:[1] in sight"},
		{"list --owner /etc/nosuchfile", 1, "no such file"},
		{"enter no/such -- true", 1, "a path begins with / or ./"},
	}
	for _, tt := range tests {
		got := renest(t, nil, strings.Fields(tt.args)...)
		if got.Code != tt.want || got.Stdout != "" || !strings.Contains(got.Stderr, tt.says) {
			t.Errorf("renest %s: %+v, want exit %d and %q", tt.args, got, tt.want, tt.says)
		}
	}
	if left, _ := filepath.Glob("*"); left != nil {
		t.Errorf("left behind: %q", left)
	}
}

// TestPipe: dump -o - | show -.
func TestPipe(t *testing.T) {
	pid := sleeper(t)
	dumped := renest(t, nil, "dump", "-t", strconv.Itoa(pid), "-o", "-")
	if dumped.Code != 0 {
		t.Fatalf("%+v", dumped)
	}
	shown := renest(t, strings.NewReader(dumped.Stdout), "show", "-")
	if !strings.Contains(shown.Stdout, link(t, pid, "uts")) {
		t.Errorf("%+v", shown)
	}
	same := renest(t, strings.NewReader(dumped.Stdout), "diff", "-", fmt.Sprintf("live:%d", pid))
	if same.Code != 0 {
		t.Errorf("%+v", same)
	}
}

// TestListJSON: the list's JSON is the image's.
func TestListJSON(t *testing.T) {
	pid := sleeper(t)
	got := renest(t, nil, "list", "--json", "--type", "uts")
	var list struct {
		Namespaces []struct{ Name, Type, Owner string }
		Tasks      []struct{ PID int }
	}
	if err := json.Unmarshal([]byte(got.Stdout), &list); err != nil {
		t.Fatalf("%v in %+v", err, got)
	}
	found := false
	for _, n := range list.Namespaces {
		if n.Type != "uts" {
			t.Errorf("%s is in a list of uts namespaces", n.Name)
		}
		found = found || n.Name == link(t, pid, "uts") && n.Owner == link(t, pid, "user")
	}
	if !found {
		t.Errorf("%s is not in the list", link(t, pid, "uts"))
	}
}

// TestTerminal: an image is not written to a terminal.
func TestTerminal(t *testing.T) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminal to be had: %v", err)
	}
	defer master.Close()
	if !isTerminal(master) {
		t.Error("/dev/ptmx is taken for no terminal")
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if isTerminal(null) {
		t.Error("/dev/null is taken for a terminal")
	}
	err = run(t.Context(), []string{"renest", "dump", "--all", "-o", "-"}, streams{out: master, err: io.Discard})
	if code := report(io.Discard, err); code != 2 {
		t.Errorf("%v: exit %d, want 2", err, code)
	}
}
