//go:build linux && (amd64 || arm64)

package tracee_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/tracee"
)

// stranger is a program that waits in a system call.
type stranger struct {
	pid  int
	in   interface{ Write([]byte) (int, error) }
	out  *bufio.Scanner
	wait func() error
}

func start(t *testing.T, args ...string) *stranger {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	s := &stranger{pid: cmd.Process.Pid, in: in, out: bufio.NewScanner(out), wait: cmd.Wait}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return s
}

// echo writes a line and reads one.
func (s *stranger) echo(t *testing.T, line string) string {
	t.Helper()
	fmt.Fprintln(s.in, line)
	if !s.out.Scan() {
		t.Fatalf("pid %d says nothing: %v", s.pid, s.out.Err())
	}
	s.waitsForInput(t)
	return s.out.Text()
}

// waitsForInput waits until the program does. Some shells poll for it.
func (s *stranger) waitsForInput(t *testing.T) {
	t.Helper()
	calls := []int{unix.SYS_READ, unix.SYS_PPOLL}
	if runtime.GOARCH == "amd64" {
		calls = append(calls, 7) // poll, which arm64 has not
	}
	s.waits(t, calls...)
}

// waits waits until the program does, in one of some system calls.
func (s *stranger) waits(t *testing.T, calls ...int) {
	t.Helper()
	var text []byte
	for started := time.Now(); time.Since(started) < time.Minute; time.Sleep(100 * time.Microsecond) {
		text, _ = os.ReadFile(fmt.Sprintf("/proc/%d/syscall", s.pid)) // "running" where it does not
		word, _, _ := strings.Cut(string(text), " ")
		if nr, err := strconv.Atoi(word); err == nil && slices.Contains(calls, nr) {
			return
		}
	}
	t.Fatalf("pid %d is in system call %q", s.pid, text)
}

// TestHoldAgain holds a program that was just let go, and has not made its own call again.
func TestHoldAgain(t *testing.T) {
	s := start(t, "sleep", "1000")
	hold := func() error {
		return tracee.Hold(t.Context(), s.pid, func(h *tracee.Held) error {
			_, err := h.Call("getpid", unix.SYS_GETPID)
			return err
		})
	}
	s.waits(t, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_NANOSLEEP)
	for i := range 1000 {
		if err := hold(); err != nil {
			t.Fatalf("for the %dth time: %v", i, err)
		}
	}
}

// TestHold has a program that waits for its input fork a child of its own, which
// executes something else. The program goes on as if nothing had been.
func TestHold(t *testing.T) {
	s := start(t, "cat")
	s.echo(t, "begin")
	var child int
	err := tracee.Hold(t.Context(), s.pid, func(h *tracee.Held) error {
		pid, err := h.Call("getpid", unix.SYS_GETPID)
		if err != nil || pid != s.pid {
			return fmt.Errorf("getpid: %d, %w", pid, err)
		}
		if _, err := h.Call("close", unix.SYS_CLOSE, 9999); !errors.Is(err, unix.EBADF) {
			return fmt.Errorf("close of what is not open: %w", err)
		}
		child, err = h.Fork(0, func(c *tracee.Held) error {
			return c.Execute("/bin/sh", []string{"sh", "-c", `echo "$0 $PPID $X"`, "hello"}, []string{"X=y z", "PATH=/bin"})
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !s.out.Scan() {
		t.Fatal("nothing of its child")
	}
	if got, want := s.out.Text(), fmt.Sprintf("hello %d y z", s.pid); got != want {
		t.Errorf("its child says %q, want %q", got, want)
	}
	if got := s.echo(t, "on"); got != "on" {
		t.Errorf("it goes on with %q", got)
	}
	// It does not know of its child, of which it has to be rid.
	err = tracee.Hold(t.Context(), s.pid, func(h *tracee.Held) error {
		at, err := h.Place(4, func(uint64) []byte { return make([]byte, 4) })
		if err != nil {
			return err
		}
		got, err := h.Call("wait4", unix.SYS_WAIT4, uintptr(child), uintptr(at), 0, 0)
		if err != nil || got != child {
			return fmt.Errorf("wait4: %d, %w", got, err)
		}
		status := []byte{1, 1, 1, 1}
		if _, err := tracee.ReadMemory(s.pid, uintptr(at), status); err != nil || string(status) != "\x00\x00\x00\x00" {
			return fmt.Errorf("its status is %v, %w", status, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.echo(t, "and on"); got != "and on" {
		t.Errorf("it goes on with %q", got)
	}
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid)); err != nil || !strings.Contains(string(b), "TracerPid:\t0\n") || !strings.Contains(string(b), "SigBlk:\t0000000000000000\n") {
		t.Errorf("it is not as it was: %v\n%s", err, b)
	}
}

// TestHoldSleep interrupts a sleep, which is one that the kernel restarts by a call of
// its own.
func TestHoldSleep(t *testing.T) {
	s := start(t, "sh", "-c", `sleep 0.5 & echo $!; wait $!; echo "ended $?"`)
	s.out.Scan()
	sleep, err := strconv.Atoi(s.out.Text())
	if err != nil {
		t.Fatal(err)
	}
	held := 0
	for range 20 {
		err := tracee.Hold(t.Context(), sleep, func(h *tracee.Held) error {
			_, err := h.Call("getuid", unix.SYS_GETUID)
			return err
		})
		if err == nil { // else it is still to execute, or over
			held++
		}
	}
	t.Logf("held %d times", held)
	if !s.out.Scan() || s.out.Text() != "ended 0" {
		t.Errorf("the sleep %s", s.out.Text())
	}
}

// TestHoldFailure has things go wrong while a program is held.
func TestHoldFailure(t *testing.T) {
	t.Run("the child executes nothing", func(t *testing.T) {
		s := start(t, "cat")
		s.echo(t, "begin")
		var child int
		want := errors.New("no")
		err := tracee.Hold(t.Context(), s.pid, func(h *tracee.Held) error {
			_, err := h.Fork(0, func(c *tracee.Held) error {
				child, _ = c.Call("getpid", unix.SYS_GETPID)
				return want
			})
			return err
		})
		if !errors.Is(err, want) {
			t.Errorf("error %v, want %v", err, want)
		}
		if err := unix.Kill(child, 0); err == nil && !zombie(t, child) {
			t.Errorf("the child, %d, is there still", child)
		}
		if got := s.echo(t, "on"); got != "on" {
			t.Errorf("it goes on with %q", got)
		}
	})
	t.Run("no such program", func(t *testing.T) {
		s := start(t, "cat")
		s.echo(t, "begin")
		err := tracee.Hold(t.Context(), s.pid, func(h *tracee.Held) error {
			_, err := h.Fork(0, func(c *tracee.Held) error { return c.Execute("/nonexistent/x", []string{"x"}, nil) })
			return err
		})
		if !errors.Is(err, unix.ENOENT) {
			t.Errorf("error %v, want ENOENT", err)
		}
		if got := s.echo(t, "on"); got != "on" {
			t.Errorf("it goes on with %q", got)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		s := start(t, "cat")
		s.echo(t, "begin")
		ctx, cancel := context.WithCancel(t.Context())
		err := tracee.Hold(ctx, s.pid, func(h *tracee.Held) error {
			cancel()
			_, err := h.Call("pause", unix.SYS_PPOLL, 0, 0, 0, 0) // for ever
			return err
		})
		if err == nil {
			t.Error("it came back from a call without an end")
		}
		if err := s.wait(); err == nil {
			t.Error("the program was to be killed, and ended well")
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		s := start(t, "true")
		_ = s.wait()
		if err := tracee.Hold(t.Context(), s.pid, nil); !errors.Is(err, unix.ESRCH) {
			t.Errorf("error %v, want ESRCH", err)
		}
	})
}

func zombie(t *testing.T, pid int) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	return err != nil || strings.Contains(string(b), "State:\tZ")
}
