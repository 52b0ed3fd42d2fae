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
	seen strings.Builder // what has appeared
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

// unfinished is such a thing of which the end is still to come.
var unfinished = regexp.MustCompile(`\x1b(\[[0-?]*[ -/]*|\][^\x07\x1b]*|[()]|P[^\x1b]*)?\x1b?$`)

// plain is text without any of them.
func plain(text string) string {
	return unfinished.ReplaceAllString(escape.ReplaceAllString(text, ""), "")
}

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
		text := y.seen.String()[y.read:]
		y.mu.Unlock()
		if end := shown(text, wanted); end > 0 {
			y.read += end
			return
		}
		if time.Now().After(deadline) {
			y.t.Fatalf("%q does not appear, but\n%q", wanted, plain(text))
		}
	}
}

// shown returns how much of what has appeared it takes until there is what is wanted,
// without colours and the like, and 0 where it is not there. What comes later, and may
// overwrite it, is not asked.
func shown(text, wanted string) int {
	last := wanted[len(wanted)-1]
	for end := len(wanted); end <= len(text); end++ {
		if text[end-1] == last && strings.Contains(plain(text[:end]), wanted) {
			return end
		}
	}
	return 0
}

// TestShown: what is wanted is there as soon as its last letter is, and not where it is
// said to the terminal alone.
func TestShown(t *testing.T) {
	for _, tt := range []struct {
		text, wanted string
		end          int
	}{
		{"a schema ", "schema", 8},
		{"a schema \x08\x08", "schema", 8},
		{"sch\x1b[1mema", "schema", 10},
		{"sx\x08chema", "schema", 8},
		{"\x1b]0;schema\x07", "schema", 0},
		{"\x1b]0;schema\x07schema", "schema", 17},
		{"", "x", 0},
	} {
		if got := shown(tt.text, tt.wanted); got != tt.end {
			t.Errorf("%q in %q: %d, want %d", tt.wanted, tt.text, got, tt.end)
		}
	}
}
