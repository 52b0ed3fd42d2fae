package test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/renest/renest/test/require"
)

// TestKernelWithout has renest find no links to the namespaces of a type, as on a
// kernel that was built without it: strace(1) lets them fail. Nothing else does by
// that.
func TestKernelWithout(t *testing.T) {
	strace := require.Command(t, "strace", "strace")
	binary := program(t, "renest")
	for _, typ := range []string{"uts", "ipc", "pid", "cgroup", "net", "time", "user"} {
		t.Run(typ, func(t *testing.T) {
			const calls = "readlinkat,openat,name_to_handle_at"
			args := []string{"-f", "-qq", "-o", "/dev/null", "-e", "trace=" + calls, "-e", "inject=" + calls + ":error=ENOENT"}
			for _, name := range []string{typ, typ + "_for_children"} {
				args = append(args, "-P", name, "-P", "ns/"+name)
			}
			cmd := exec.Command(strace, append(args, binary, "list", "--json")...)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v\n%s", err, &stderr)
			}
			var list struct {
				Header struct {
					Missing []string
				}
				Tasks []struct {
					PID        int
					Namespaces map[string]string
				}
			}
			if err := json.Unmarshal(out, &list); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, line := range list.Header.Missing {
				if strings.Contains(line, "no such file") {
					t.Errorf("missing: %s", line)
				}
			}
			others := 0
			for _, task := range list.Tasks {
				if ns := task.Namespaces[typ]; ns != "" {
					t.Errorf("pid %d is in %s", task.PID, ns)
				}
				others += len(task.Namespaces)
			}
			if others == 0 {
				t.Errorf("no task is in any namespace: %s", out)
			}
			run := func(args2 ...string) (string, error) {
				text, err := exec.Command(strace, append(append(args[:len(args):len(args)], binary), args2...)...).CombinedOutput()
				return string(text), err
			}
			if typ == "user" {
				for _, args2 := range [][]string{{"caps", "self", "self/mnt"}, {"who", "self/mnt"}} {
					if text, err := run(args2...); err == nil || !strings.Contains(text, "this kernel has no user namespaces (CONFIG_USER_NS)") {
						t.Errorf("%q: %v\n%s", args2, err, text)
					}
				}
			}
			if typ == "pid" || typ == "user" {
				return // a tree, and who may do what, is about those
			}
			for _, args2 := range [][]string{{"dump", "-t", "self", "-o", "/dev/null"}, {"caps", "self", "self/mnt"}, {"why", "self/mnt"}} {
				if text, err := run(args2...); err != nil {
					t.Errorf("%q: %v\n%s", args2, err, text)
				}
			}
		})
	}
}
