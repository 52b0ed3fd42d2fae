//go:build linux && (amd64 || arm64)

package agent

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestCommand(t *testing.T) {
	ctx := context.Background()
	proc, err := os.Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c, err := Start(ctx, Options{Proc: proc, Files: []*os.File{proc, w, w}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	w.Close()
	a := fork(t, c.Root(), unix.CLONE_NEWUSER|unix.CLONE_NEWPID|unix.CLONE_NEWUTS)
	cmd := Command{
		Path:  "/bin/sh",
		Args:  []string{"sh", "-c", "echo $$ $WORD; kill -9 $$"},
		Env:   []string{"WORD=said"},
		Files: [3]int{FirstFile, FirstFile + 1, FirstFile + 2},
	}
	status, err := a.Command(ctx, cmd)
	if err != nil {
		t.Fatal(err)
	}
	if !status.Signaled() || status.Signal() != syscall.SIGKILL {
		t.Errorf("status %#x, want the signal it sent itself", status)
	}
	cmd.Args = []string{"sh", "-c", "exit 7"}
	if status, err = a.Command(ctx, cmd); err != nil || status.ExitStatus() != 7 {
		t.Errorf("status %#x, %v; want exit 7", status, err)
	}
	cmd.Path = "/does/not/exist"
	if _, err := a.Command(ctx, cmd); !errors.Is(err, unix.ENOENT) {
		t.Errorf("error %v, want ENOENT", err)
	}
	cmd.Files[2] = 999
	if _, err := a.Command(ctx, cmd); !errors.Is(err, unix.EBADF) {
		t.Errorf("without a file: error %v, want EBADF", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil || string(out) != "2 said\n" {
		t.Errorf("output %q, %v", out, err)
	}
}

// TestCommandInterrupted interrupts a shell that waits for another program, as who
// types Ctrl-C does: it is that program which ends.
func TestCommandInterrupted(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	proc, err := os.Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c, err := Start(ctx, Options{Proc: proc, Files: []*os.File{proc, w, w}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	w.Close()
	signals := make(chan os.Signal)
	go func() {
		if _, err := r.Read(make([]byte, 16)); err == nil {
			signals <- syscall.SIGINT
		}
	}()
	status, err := c.Root().Command(ctx, Command{
		Path:    "/bin/sh",
		Args:    []string{"sh", "-c", "trap : INT; sh -c 'echo ready; exec sleep 1000'; exit 7"},
		Env:     os.Environ(),
		Files:   [3]int{FirstFile, FirstFile + 1, FirstFile + 2},
		Signals: signals,
	})
	if err != nil || status.ExitStatus() != 7 {
		t.Errorf("status %#x, %v; want exit 7", status, err)
	}
}
