//go:build linux && (amd64 || arm64)

package tracee_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/tracee"
)

// TestBirths has the child and the grandchild of a shell do something before they run.
func TestBirths(t *testing.T) {
	s := start(t, "sh", "-c", "umask 0; while read line; do echo $(umask; (umask); :) $(umask); done")
	s.waitsForInput(t)
	masks, seen := []uintptr{0o1, 0o2}, map[int]bool{}
	begun, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- tracee.Births(t.Context(), s.pid, func() { close(begun) }, func(h *tracee.Held) (bool, error) {
			if seen[h.PID()] {
				return false, fmt.Errorf("%d is born again", h.PID())
			}
			seen[h.PID()] = true
			old, err := h.Call("umask", unix.SYS_UMASK, masks[len(seen)-1])
			if old != len(seen)-1 {
				err = errors.Join(err, fmt.Errorf("its umask was %o", old))
			}
			return len(seen) == len(masks), err
		})
	}()
	select {
	case <-begun:
	case err := <-done:
		t.Fatal(err)
	}
	first := s.echo(t, "go")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if first != "0001 0002 0000" {
		t.Errorf("the masks of child, grandchild and second child are %q", first)
	}
	wantUntraced(t, s.pid)
	if got := s.echo(t, "again"); got != "0000 0000 0000" {
		t.Errorf("afterwards they are %q", got)
	}
}

// TestBirthsEnd has nobody be born.
func TestBirthsEnd(t *testing.T) {
	s := start(t, "cat")
	s.echo(t, "begin")
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("waited enough")
	err := tracee.Births(ctx, s.pid, func() { cancel(why) }, func(*tracee.Held) (bool, error) { return true, nil })
	if !errors.Is(err, why) {
		t.Errorf("error %v, want %v", err, why)
	}
	wantUntraced(t, s.pid)
	if got := s.echo(t, "on"); got != "on" {
		t.Errorf("it goes on with %q", got)
	}
}

func wantUntraced(t *testing.T, pid int) {
	t.Helper()
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err != nil || !strings.Contains(string(b), "TracerPid:\t0\n") {
		t.Errorf("%v, it is traced still: %s", err, b)
	}
}
