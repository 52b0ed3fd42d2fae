//go:build linux && (amd64 || arm64)

package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
)

// TestGuardianKilled wants no agent left where nobody is left to kill them.
func TestGuardianKilled(t *testing.T) {
	var family Family
	c := begin(t, Options{Before: func(c *Crew) error { family = c.Family(); return nil }})
	a := fork(t, c.Root(), 0)
	kin := begin(t, Options{Kin: c})
	for _, pid := range []int{c.guardian.pid, c.root.pid, a.pid, kin.guardian.pid, kin.root.pid} {
		if !family.has(strconv.Itoa(pid)) {
			t.Errorf("%d is not of the family", pid)
		}
	}
	if family.has("self") {
		t.Error("this process is of the family")
	}
	if err := unix.Kill(c.guardian.pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); !errors.Is(err, ErrDied) {
		t.Errorf("close: %v", err)
	}
	for _, pid := range []int{c.root.pid, a.pid} {
		if family.has(strconv.Itoa(pid)) {
			t.Errorf("agent %d is still there", pid)
		}
	}
	fork(t, kin.Root(), 0) // it is of the same family, and another crew
	if err := family.Kill(); err != nil {
		t.Error(err)
	}
	if family.has(strconv.Itoa(kin.root.pid)) {
		t.Error("of the family somebody lives")
	}
	if err := kin.Close(); !errors.Is(err, ErrDied) {
		t.Errorf("close: %v", err)
	}
}

// TestFirstFollows wants the first agent to end with its guardian, though nobody closes
// the crew.
func TestFirstFollows(t *testing.T) {
	c := begin(t, Options{})
	fd, err := nsfs.OpenProcess(c.root.pid)
	if err != nil {
		t.Fatal(errors.Join(err, c.Close()))
	}
	defer unix.Close(fd)
	if err := unix.Kill(c.guardian.pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := nsfs.AwaitEnd(ctx, fd); err != nil {
		t.Fatalf("the first agent goes on: %v", err)
	}
	if err := c.Close(); !errors.Is(err, ErrDied) {
		t.Errorf("close: %v", err)
	}
}

// TestGuardianKilledUnseen wants an agent found that an ordinary user may not look at:
// what it executes is not shown, what it was executed with is.
func TestGuardianKilledUnseen(t *testing.T) {
	c := begin(t, Options{})
	a, err := c.Root().Fork(t.Context(), "fork", ForkOptions{Flags: unix.CLONE_NEWUSER})
	if err == nil {
		err = a.Protect(t.Context())
	}
	if err != nil {
		t.Fatal(errors.Join(err, c.Close()))
	}
	exe := fmt.Sprintf("/proc/%d/exe", a.pid)
	if _, err := os.Stat(exe); os.Geteuid() != 0 && !errors.Is(err, os.ErrPermission) {
		t.Errorf("%s: %v, want that it is not shown", exe, err)
	}
	if other := (Family{Mark: "0123456789abcdef"}); other.has(strconv.Itoa(a.pid)) || (Family{}).has(strconv.Itoa(a.pid)) {
		t.Error("the agent is of another family too")
	}
	if err := unix.Kill(c.guardian.pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); !errors.Is(err, ErrDied) {
		t.Errorf("close: %v", err)
	}
	if c.Family().has(strconv.Itoa(a.pid)) { // a zombie is not
		t.Errorf("agent %d is still there", a.pid)
	}
}
