//go:build linux && (amd64 || arm64)

package restore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/images"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/restore"
	"github.com/renest/renest/test/require"
)

// pinAndDie is a helper that restores an image with bind mounts below a folder and
// cgroups, and is killed when so many steps and mounts are left to do, with its guardian
// or without; or its guardian alone is.
func pinAndDie(args []string) int {
	g, err := images.ReadFile(args[0])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	p, err := pinPlan(g, restore.PinOptions{Dir: args[1]})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	at, _ := strconv.Atoi(args[2])
	fmt.Println("ready")
	s, err := restore.Execute(context.Background(), p, restore.Options{Name: "dies", MakeCgroups: true, Progress: func(done, total int) {
		if done != total-at {
			return
		}
		if args[3] != "" {
			// It is the child of the thread that happened to start it.
			lists, _ := filepath.Glob("/proc/self/task/*/children")
			for _, list := range lists {
				text, _ := os.ReadFile(list)
				for _, child := range strings.Fields(string(text)) {
					pid, _ := strconv.Atoi(child)
					_ = unix.Kill(pid, unix.SIGKILL)
				}
			}
		}
		if args[3] != "guardian" {
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		}
	}})
	if err == nil {
		err = s.Close()
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// TestPinsKilled kills the maker after each bind mount, and at whatever moment.
func TestPinsKilled(t *testing.T) {
	require.Root(t)
	image, dir := saved(t, pinned()), t.TempDir()
	for at := range 4 {
		out, err := helper(t, "pin and die", image, dir, strconv.Itoa(at), "").CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != unix.SIGKILL {
			t.Fatalf("%v: %s", err, out)
		}
		noChildren(t)
		nothingIn(t, dir)
		noRecords(t)
	}
	found := 0
	for i := range some(10, 40) {
		cmd := helper(t, "pin and die", image, dir, "-1", "")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		_, _ = out.Read(make([]byte, 16))
		// Every other time as soon as there is a bind mount.
		wait := time.Duration(i) * time.Millisecond / 2
		if i%2 == 0 {
			wait = 10 * time.Second
		}
		for deadline := time.Now().Add(wait); time.Now().Before(deadline); {
			if i%2 == 0 && len(mountsBelow(t, dir)) > 0 {
				found++
				break
			}
			var info unix.Siginfo
			if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil || info.Signo != 0 {
				break // it was too quick
			}
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		noChildren(t)
		nothingIn(t, dir)
		// Killed before there was a guardian, it leaves its claim.
		if err := restore.Remove("dies"); err != nil && !errors.Is(err, restore.ErrNotFound) {
			t.Error(err)
		}
		noRecords(t)
	}
	t.Logf("killed %d times while there were mounts", found)
}

// TestPinsSwept kills the maker and its guardian: the next run, or Remove, cleans
// up what they have left in the file system.
func TestPinsSwept(t *testing.T) {
	require.Root(t)
	image, dir := saved(t, pinned()), t.TempDir()
	for at := range 3 {
		_ = helper(t, "pin and die", image, dir, strconv.Itoa(at), "both").Run()
		if len(mountsBelow(t, dir)) == 0 {
			t.Fatal("nothing is left that would have to be swept")
		}
		if at == 0 {
			s := execute(t, small(), restore.Options{})
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		} else if err := restore.Remove("dies"); err != nil {
			t.Errorf("remove: %v", err)
		}
		noChildren(t)
		nothingIn(t, dir)
		noRecords(t)
	}
}

// TestGuardianKilled kills the guardian alone: its maker cleans up.
func TestGuardianKilled(t *testing.T) {
	require.Root(t)
	image, dir := saved(t, pinned()), t.TempDir()
	for at := range 4 {
		out, _ := helper(t, "pin and die", image, dir, strconv.Itoa(at), "guardian").CombinedOutput()
		if !strings.Contains(string(out), agent.ErrDied.Error()) {
			t.Errorf("%d left to do: %s", at, out)
		}
		noChildren(t)
		nothingIn(t, dir)
		noRecords(t)
	}
}
