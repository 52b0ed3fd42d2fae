package test

import (
	"bufio"
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCRIUSibling restores a leaf of which the ancestors' tasks are not restored: its
// parent is the init above, or with -S renest, which ends as it does.
func TestCRIUSibling(t *testing.T) {
	if testing.Short() {
		return
	}
	c := newCRIU(t)
	for _, test := range []struct {
		name  string
		depth int
		leaf  level
	}{
		{"in a container", 2, level{New: everything()}},
		{"on the host", 1, level{New: everything(), Outside: 100000, Count: 65536}},
		{"of the host's ids", 1, level{New: []string{"pid", "mnt", "uts", "ipc", "net"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.leaf.Root, test.leaf.Serve, test.leaf.Hostname = c.rootfs(t), true, "leaf"
			top := startCounter(t, levels(test.depth, test.leaf))
			leaf := descend(t, top, test.depth)
			before := counting(t, leaf)
			dir := t.TempDir()
			renest(t, 0, "criu", "dump", "--criu", c.path, "-t", strconv.Itoa(leaf), "-D", dir)
			end(t, top)

			name := uniqueName("sibling")
			rewind := logsOf(t, test.leaf.Root)
			r := c.restore(t, dir, name)
			if parent := parentOf(t, r.pids[0]); test.depth > 1 && nspid(t, parent)[len(nspid(t, parent))-1] != "1" {
				t.Errorf("its parent is %d, %v, not the init above", parent, nspid(t, parent))
			}
			renest(t, 0, "rm", name)
			rewind()

			cmd := exec.Command(program(t, "renest"), "criu", "restore", "-S", "--criu", c.path, "-D", dir, "--name", name)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			var stderr strings.Builder
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			if !lines.Scan() {
				t.Fatalf("renest criu restore -S: %v: %s", cmd.Wait(), stderr.String())
			}
			pid, err := strconv.Atoi(strings.TrimPrefix(lines.Text(), name+" "))
			if err != nil {
				t.Fatalf("renest criu restore -S says %q", lines.Text())
			}
			defer renest(t, 0, "rm", name)
			if got := parentOf(t, pid); got != cmd.Process.Pid {
				t.Errorf("its parent is %d, not renest, %d", got, cmd.Process.Pid)
			}
			if after := counting(t, pid); after.Count <= before.Count || after.Remote != before.Remote {
				t.Errorf("service: %+v before, %+v after", before, after)
			}
			for _, child := range family(cmd.Process.Pid) {
				if !alive(child) {
					t.Errorf("renest has not waited for its child %d", child)
				}
			}
			_ = unix.Kill(pid, unix.SIGKILL)
			var exit *exec.ExitError
			if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 128+int(unix.SIGKILL) {
				t.Errorf("renest ends with %v: %s", err, stderr.String())
			}
		})
	}
}
