package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/renest/renest/test/require"
)

// TestOneQuestion has strace(1) watch what renest reads to answer a question about
// one process and one namespace: no list of processes, and none but that one.
func TestOneQuestion(t *testing.T) {
	strace := require.Command(t, "strace", "strace")
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	pid := strconv.Itoa(cmd.Process.Pid)
	out := filepath.Join(t.TempDir(), "trace")
	for _, args := range [][]string{
		{"caps", pid, "self/net"},
		{"caps", "self", pid + "/uts", "--json"},
		{"caps", pid, "/proc/self/ns/pid"},
	} {
		args = append([]string{"-f", "-o", out, "-e", "trace=openat,open,getdents64", program(t, "renest")}, args...)
		if text, err := exec.Command(strace, args...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, text)
		}
		trace, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if lists := regexp.MustCompile(`(?m)^.*getdents64\(.*$`).Find(trace); lists != nil {
			t.Errorf("%q lists a directory: %s", args, lists)
		}
		known := map[string]bool{pid: true, "self": true}
		for _, m := range regexp.MustCompile(`(?m)^(\d+) `).FindAllSubmatch(trace, -1) {
			known[string(m[1])] = true // one of its own threads
		}
		opens := regexp.MustCompile(`"(?:/proc/)?(\d+|self)(?:/[^"]*)?"`).FindAllSubmatch(trace, -1)
		if len(opens) == 0 {
			t.Errorf("%q opens nothing:\n%s", args, trace)
		}
		for _, m := range opens {
			if !known[string(m[1])] {
				t.Errorf("%q opens %s", args, m[0])
			}
		}
	}
}
