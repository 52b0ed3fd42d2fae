package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// family lists a process and its descendants. A thread may end meanwhile.
func family(root int) []int {
	pids := []int{root}
	for i := 0; i < len(pids); i++ {
		pids = append(pids, children(pids[i])...)
	}
	return pids
}

// children lists the children of a process, those of all of its threads.
func children(parent int) (pids []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for field := range strings.FieldsSeq(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

func parentOf(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	ppid, err := strconv.Atoi(f[1])
	if err != nil {
		t.Fatal(err)
	}
	return ppid
}

// nspid returns the numbers of a process, level by level.
func nspid(t *testing.T, pid int) []string {
	t.Helper()
	n := numbersOf(pid)
	if n == nil {
		t.Fatalf("pid %d has no numbers", pid)
	}
	return n
}

// numbersOf is nspid of a process that may be gone, and has none then.
func numbersOf(pid int) []string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "NSpid:"); ok {
			return strings.Fields(rest)
		}
	}
	return nil
}

// asleep waits until a process waits in the kernel.
func asleep(t *testing.T, pid int) {
	t.Helper()
	waitFor(t, fmt.Sprintf("pid %d sleeps", pid), func() bool {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return strings.HasPrefix(string(b[strings.LastIndexByte(string(b), ')')+1:]), " S")
	})
}

// alive tells whether there is a process that has not ended.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	rest := string(b[strings.LastIndexByte(string(b), ')')+1:])
	return !strings.HasPrefix(rest, " Z")
}

// traced tells whether a process has a tracer.
func traced(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && !strings.Contains(string(b), "TracerPid:\t0\n")
}

// end kills a process and waits until it is gone.
func end(t *testing.T, pid int) {
	t.Helper()
	_ = unix.Kill(pid, unix.SIGKILL)
	waitFor(t, fmt.Sprintf("pid %d is gone", pid), func() bool { return !alive(pid) })
}

// sameRoot tells whether two processes have one root directory.
func sameRoot(a, b int) bool {
	one, err1 := os.Stat(fmt.Sprintf("/proc/%d/root/.", a))
	two, err2 := os.Stat(fmt.Sprintf("/proc/%d/root/.", b))
	return err1 != nil || err2 != nil || os.SameFile(one, two)
}

// waitFor waits until something is so, which it is sooner or later.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so after a minute: %s", what)
		}
	}
}
