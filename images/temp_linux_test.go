package images

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/renest/renest/topology"
)

// TestUnnamed: until it is published an image has no name, so that a kill
// leaves nothing.
func TestUnnamed(t *testing.T) {
	dir := t.TempDir()
	if f, err := openUnnamed(dir); err != nil {
		t.Skipf("no O_TMPFILE in %s: %v", dir, err)
	} else {
		f.Close()
	}
	temp, err := createTemp(dir, "image")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := temp.file.WriteString("new"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string(nil), names(t, dir)); diff != "" {
		t.Errorf("before: (-want +there)\n%s", diff)
	}
	path := filepath.Join(dir, "image")
	if err := temp.publish(path); err != nil {
		t.Fatal(err)
	}
	if err := temp.discard(); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(path); string(b) != "new" {
		t.Errorf("published %q", b)
	}
}

// TestFIFO: what is no file is written to, not replaced.
func TestFIFO(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	type result struct {
		g   *topology.Graph
		err error
	}
	done := make(chan result, 1)
	go func() {
		g, err := ReadFile(path)
		done <- result{g, err}
	}()
	if err := WriteFile(path, full()); err != nil {
		t.Fatal(err)
	}
	// Before the reader is waited for, which may be at a pipe that is gone.
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != os.ModeNamedPipe {
		t.Fatalf("the pipe was replaced: %v, %v", info, err)
	}
	got := <-done
	if got.err != nil {
		t.Fatal(got.err)
	}
	if diff := cmp.Diff(full(), got.g); diff != "" {
		t.Errorf("(-written +read)\n%s", diff)
	}
}

// writeForever is set in the process that TestKilled kills.
const writeForever = "RENEST_TEST_WRITE_FOREVER"

// TestKilled: whenever it is killed, a writer leaves whole images or nothing.
func TestKilled(t *testing.T) {
	if dir := os.Getenv(writeForever); dir != "" {
		g := sandboxes(50)
		for i := 0; ; i++ {
			if err := WriteFile(filepath.Join(dir, fmt.Sprint(i)), g); err != nil {
				t.Fatal(err)
			}
		}
	}
	dir := t.TempDir()
	f, err := openUnnamed(dir)
	if err != nil {
		t.Skipf("no O_TMPFILE in %s: %v", dir, err)
	}
	f.Close()
	for round := range 5 {
		child := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		child.Env = append(os.Environ(), writeForever+"="+dir)
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(2 * time.Minute)
		for len(names(t, dir)) < 3+round && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // killed
		list := names(t, dir)
		if len(list) < 3+round {
			t.Fatalf("after two minutes only %q", list)
		}
		for _, name := range list {
			if strings.HasPrefix(name, ".") {
				t.Errorf("%s was left", name)
			}
			if _, err := ReadFile(filepath.Join(dir, name)); err != nil {
				t.Error(err)
			}
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
}
