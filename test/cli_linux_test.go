package test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// renest runs renest as its user would and returns what it printed. It fails the
// test where renest does not exit with code.
func renest(t *testing.T, code int, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	// Not t.Context, which ends before the test's clean-up begins.
	ctx, cancel := context.WithTimeoutCause(context.Background(), 3*time.Minute, errors.New("renest hangs"))
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t, "renest"), args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if ctx.Err() != nil || err != nil && !errors.As(err, &exit) {
		t.Fatal(err, context.Cause(ctx))
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Fatalf("renest %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// restored is what restore --json prints.
type restored struct {
	Name       string
	Namespaces []struct {
		Image, Live, Path string
	}
	Verified bool
}

// restoreImage restores an image under name, leaves it standing and takes it down
// with the test.
func restoreImage(t *testing.T, name string, image ...string) restored {
	t.Helper()
	out := renest(t, 0, append([]string{"restore", "--json", "-d", "--name", name}, image...)...)
	t.Cleanup(func() {
		if standing(t, name) {
			renest(t, 0, "rm", name)
		}
	})
	var r restored
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("restore --json: %v\n%s", err, out)
	}
	return r
}

// standing tells whether ps lists a tree.
func standing(t *testing.T, name string) bool {
	t.Helper()
	var trees []struct {
		Name   string
		Keeper struct{ PID int } // of what is unfinished there is none
	}
	out := renest(t, 0, "ps", "--json")
	if err := json.Unmarshal([]byte(out), &trees); err != nil {
		t.Fatalf("ps --json: %v\n%s", err, out)
	}
	for _, tree := range trees {
		if tree.Name == name && tree.Keeper.PID != 0 {
			return true
		}
	}
	return false
}

// uniqueName returns a name for a tree that no other run of the tests uses.
func uniqueName(name string) string { return fmt.Sprintf("%s-%d", name, os.Getpid()) }

// TestInterrupted: a pipe that nobody writes to keeps nobody waiting who has had
// enough.
func TestInterrupted(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for args, code := range map[string]int{"show " + fifo: 1, "diff live " + fifo: 2, "restore -d " + fifo: 1} {
		var stderr bytes.Buffer
		cmd := exec.CommandContext(t.Context(), program(t, "renest"), strings.Fields(args)...)
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		kill := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		pipe, err := os.OpenFile(fifo, os.O_WRONLY, 0) // waits for who reads
		if err != nil {
			t.Fatal(err)
		}
		_ = cmd.Process.Signal(unix.SIGINT)
		err = cmd.Wait()
		kill.Stop()
		_ = pipe.Close()
		if cmd.ProcessState.ExitCode() != code || stderr.String() != "renest: interrupt signal received\n" {
			t.Errorf("renest %s: %v: %s", args, err, stderr.String())
		}
	}
}

// TestUnread: where nobody reads what is printed, no tree stays that nobody was told
// of, and nothing is said.
func TestUnread(t *testing.T) {
	image := filepath.Join(t.TempDir(), "nstree.img")
	renest(t, 0, "dump", "-t", strconv.Itoa(startTree(t)), "-o", image)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	defer w.Close()
	name := uniqueName("unread")
	for _, args := range [][]string{{"restore", "-d", "--name", name, image}, {"demo"}, {"show", image}} {
		cmd := exec.CommandContext(t.Context(), program(t, "renest"), append([]string{"--quiet"}, args...)...)
		var stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = w, &stderr
		err := cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != 128+int(unix.SIGPIPE) || stderr.Len() > 0 {
			t.Errorf("renest %s: %v: %s", args[0], err, stderr.String())
		}
	}
	if standing(t, name) {
		renest(t, 0, "rm", name)
		t.Error("the tree stays")
	}
}
