package test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/renest/renest/test/require"
)

// TestWatch: what appears and vanishes under this process is told, by name.
func TestWatch(t *testing.T) {
	asleep := require.Command(t, "sleep", "coreutils")
	watch := exec.CommandContext(t.Context(), program(t, "renest"), "watch", "--json", "--interval", "100ms", "live:"+strconv.Itoa(os.Getpid()))
	out, err := watch.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errs, err := watch.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = watch.Process.Signal(os.Interrupt)
		_ = watch.Wait()
	}()
	for lines := bufio.NewScanner(errs); lines.Scan(); { // it has looked once
		if strings.Contains(lines.Text(), "looking every") {
			break
		}
	}
	sleep := exec.CommandContext(t.Context(), asleep, "1000")
	sleep.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWUTS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	user, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/user", sleep.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	type event struct {
		Time, Change  string
		First, Second string
		Below         []string
	}
	events := make(chan event)
	go func() {
		defer close(events)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var e event
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				t.Errorf("%v: %s", err, lines.Text())
			}
			events <- e
		}
	}()
	wait := func(change string, name func(event) string) {
		deadline := time.After(time.Minute)
		for {
			select {
			case e, ok := <-events:
				if !ok {
					t.Fatal("it has ended")
				}
				if e.Change == change && name(e) == user {
					return
				}
			case <-deadline:
				t.Fatalf("nothing %s is told as %s", user, change)
			}
		}
	}
	wait("added", func(e event) string { return e.Second })
	if err := sleep.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = sleep.Wait()
	wait("removed", func(e event) string { return e.First })
	_ = watch.Process.Signal(os.Interrupt)
	for range events {
	}
}
