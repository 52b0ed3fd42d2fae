package test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/renest/renest/nsfs"
)

// watchEvent is a line of what renest watch prints.
type watchEvent struct {
	Time          time.Time
	Change        string
	First, Second string
	NSID          nsfs.ID
	Below         []string
	Aspects       []struct{ What, First, Second string }
}

// watcher is a renest watch that runs.
type watcher struct {
	t   *testing.T
	cmd *exec.Cmd
	out sync.WaitGroup

	mu       sync.Mutex
	events   []watchEvent
	warnings []string
}

// watch has renest watch what, and returns once it does. It ends with the test.
func watch(t *testing.T, args ...string) *watcher {
	t.Helper()
	w := &watcher{t: t, cmd: exec.CommandContext(t.Context(), program(t, "renest"), append([]string{"watch", "--json"}, args...)...)}
	stdout, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := w.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.end)
	looking := make(chan struct{})
	w.out.Go(func() { w.readWarnings(stderr, looking) })
	w.out.Go(func() { w.readEvents(stdout) })
	<-looking
	return w
}

func (w *watcher) readEvents(r io.Reader) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		var e watchEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			w.t.Errorf("%v: %s", err, lines.Text())
		}
		w.mu.Lock()
		w.events = append(w.events, e)
		w.mu.Unlock()
	}
}

// readWarnings closes looking when the first look is over.
func (w *watcher) readWarnings(r io.Reader, looking chan<- struct{}) {
	over := sync.OnceFunc(func() { close(looking) })
	defer over()
	for lines := bufio.NewScanner(r); lines.Scan(); {
		w.mu.Lock()
		w.warnings = append(w.warnings, lines.Text())
		w.mu.Unlock()
		if strings.Contains(lines.Text(), "looking every") {
			over()
		}
	}
}

// end ends the watch. It may be called twice.
func (w *watcher) end() {
	_ = w.cmd.Process.Signal(os.Interrupt)
	w.out.Wait()
	_ = w.cmd.Wait()
}

// all returns the events and the warnings so far.
func (w *watcher) all() (events []watchEvent, warnings []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.events), slices.Clone(w.warnings)
}

// await waits until an event is told that is wanted.
func (w *watcher) await(what string, wanted func(watchEvent) bool) {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		events, warnings := w.all()
		switch {
		case slices.ContainsFunc(events, wanted):
			return
		case time.Now().After(deadline):
			w.t.Fatalf("not told: %s\n%s", what, strings.Join(warnings, "\n"))
		}
	}
}

// startSleeper starts a process in a user and a UTS namespace of its own, which
// sleeps.
func startSleeper(t *testing.T) (*exec.Cmd, error) {
	cmd := exec.CommandContext(t.Context(), "sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWUTS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	return cmd, cmd.Start()
}

// TestWatch: what appears and vanishes under this process is told, by name.
func TestWatch(t *testing.T) {
	w := watch(t, "--interval", "100ms", "live:"+strconv.Itoa(os.Getpid()))
	sleep, err := startSleeper(t)
	if err != nil {
		t.Fatal(err)
	}
	user, err := os.Readlink("/proc/" + strconv.Itoa(sleep.Process.Pid) + "/ns/user")
	if err != nil {
		t.Fatal(err)
	}
	w.await("added "+user, func(e watchEvent) bool { return e.Change == "added" && e.Second == user })
	if err := sleep.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = sleep.Wait()
	w.await("removed "+user, func(e watchEvent) bool { return e.Change == "removed" && e.First == user })
}
