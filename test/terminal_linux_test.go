package test

import (
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
)

// typist is somebody at a terminal in which a program runs.
type typist struct {
	t   *testing.T
	tty interface{ Write([]byte) (int, error) }

	mu   sync.Mutex
	seen strings.Builder // what has appeared, without colours and the like
	read int             // how much of that was waited for
}

// onTerminal starts a program on a terminal of its own. It is killed with the test.
func onTerminal(t *testing.T, name string, args ...string) *typist {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(cmd.Environ(), "TERM=xterm", "LC_ALL=C.UTF-8")
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 50, Cols: 120})
	if err != nil {
		t.Fatal(err)
	}
	y := &typist{t: t, tty: tty}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := tty.Read(buf)
			y.mu.Lock()
			y.seen.Write(buf[:n])
			y.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // the terminal hangs up
		_ = cmd.Wait()
		_ = tty.Close()
	})
	return y
}

// escape is what moves the cursor, sets colours and titles, and asks the terminal.
var escape = regexp.MustCompile(`\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[()][A-Z0-9]|[=>78M]|P[^\x1b]*\x1b\\)|[\x07\x0f]|.\x08`)

// types types text, \t for the key that completes.
func (y *typist) types(text string) {
	y.t.Helper()
	if _, err := y.tty.Write([]byte(text)); err != nil {
		y.t.Fatal(err)
	}
}

// sees waits until what is wanted has appeared behind what was last waited for.
func (y *typist) sees(wanted string) {
	y.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		y.mu.Lock()
		text := escape.ReplaceAllString(y.seen.String(), "")
		y.mu.Unlock()
		text = text[min(y.read, len(text)):]
		if i := strings.Index(text, wanted); i >= 0 {
			y.read += i + len(wanted)
			return
		}
		if time.Now().After(deadline) {
			y.t.Fatalf("%q does not appear, but\n%q", wanted, text)
		}
	}
}
