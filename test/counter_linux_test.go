package test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/renest/renest/test/counter/counterspec"
)

// level is one process of those that program counter starts.
type level = counterspec.Process

// everything is what a container has of its own, but for clocks and cgroups.
func everything() []string { return []string{"user", "pid", "mnt", "uts", "ipc", "net"} }

// levels nests a leaf depth deep in all, each level with a part of the ids above.
func levels(depth int, leaf level) level {
	outside, count := 100000, 65536
	var build func(k int) level
	build = func(k int) level {
		if k == depth {
			return leaf
		}
		l := level{New: everything(), Outside: outside, Count: count, Hostname: fmt.Sprintf("level-%d", k)}
		outside, count = 1000, count-2000
		next := build(k + 1)
		if next.Outside == 0 && next.Count == 0 {
			next.Outside, next.Count = outside, count
		}
		l.Child = &next
		return l
	}
	return build(1)
}

// serving is a service in a container, with another in it.
func serving(root string, child *level) *level {
	l := level{New: everything(), Outside: 1000, Count: 60000, Hostname: "in " + filepath.Base(root), Root: root, Serve: true, Child: child}
	for c := child; c != nil; c = c.Child {
		c.Count -= 2000
	}
	return &l
}

// outermost gives a container ids of the host's.
func outermost(l *level) level {
	l.Outside = 100000
	return *l
}

// free has a container take the ids that levels gives it.
func free(l *level) level {
	l.Outside, l.Count = 0, 0
	return *l
}

// startCounter starts the processes of a specification, and ends them with the test.
func startCounter(t *testing.T, spec level) (pid int) {
	t.Helper()
	return startCounterIn(t, nil, spec)
}

// startCounterIn does so in a cgroup, by default in this process's.
func startCounterIn(t *testing.T, cgroup *os.File, spec level) (pid int) {
	t.Helper()
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program(t, "counter"), string(text))
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr = log
	if cgroup != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(cgroup.Fd())}
	}
	out, err := cmd.Output()
	if err == nil {
		pid, err = strconv.Atoi(strings.TrimSpace(string(out)))
	}
	if err != nil {
		t.Fatalf("start %s: %v", text, err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			b, _ := os.ReadFile(log.Name())
			t.Logf("the service says: %s", b)
			for s := &spec; s != nil; s = s.Child {
				b, _ := os.ReadFile(filepath.Join(s.Root, "tmp/log"))
				t.Logf("in %q it says: %s", s.Root, b)
			}
		}
		if alive(pid) {
			end(t, pid)
		}
	})
	return pid
}

// descend returns the process that is depth levels deep, the first one being pid.
func descend(t *testing.T, pid, depth int) int {
	t.Helper()
	for range depth - 1 {
		pid = first(t, pid)
	}
	return pid
}

// first waits for the first child of a process.
func first(t *testing.T, pid int) int {
	t.Helper()
	var pids []int
	waitFor(t, fmt.Sprintf("pid %d has a child", pid), func() bool {
		pids = family(pid)
		return len(pids) > 1
	})
	return pids[1]
}

// innerOf returns the child of a service that is the first of a container.
func innerOf(t *testing.T, outer int) (pid int) {
	t.Helper()
	waitFor(t, fmt.Sprintf("pid %d has a container", outer), func() bool {
		for _, pid = range family(outer)[1:] {
			// One that has just ended has none.
			if n := numbersOf(pid); len(n) > 0 && n[len(n)-1] == "1" && len(n) == len(nspid(t, outer))+1 {
				return !sameRoot(outer, pid) // where it is still to arrive
			}
		}
		return false
	})
	return pid
}

// status is what a service says of itself.
type status struct {
	PID    int
	Client int
	Count  int64
	Local  string
	Remote string
	Host   string
	Clock  int64
}

// ask asks the service that has pid as the first task of its container.
func ask(pid int) (s status, err error) {
	conn, err := net.DialTimeout("unix", fmt.Sprintf("/proc/%d/root/tmp/ask", pid), time.Minute)
	if err != nil {
		return s, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	return s, json.NewDecoder(conn).Decode(&s)
}

// counting waits until the service has counted on.
func counting(t *testing.T, pid int) status {
	t.Helper()
	var was, is status
	waitFor(t, fmt.Sprintf("pid %d counts", pid), func() bool {
		var err error
		is, err = ask(pid)
		if err != nil {
			if !alive(pid) {
				t.Fatalf("pid %d is gone: %v", pid, err)
			}
			return false
		}
		if was.Count == 0 {
			was = is
		}
		return is.Count > was.Count+3
	})
	return is
}
