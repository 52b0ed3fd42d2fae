package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestKept has a run of the hook tell the next one something, once.
func TestKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), reportName)
	say := func(s string) { t.Error(s) }
	for _, text := range []string{"first", "second, in place of what nobody asked for"} {
		keepFor(path, []byte(text), say)
		keepFor(path, []byte(text), say)
		if got := string(recallFrom(path, say)); got != text {
			t.Errorf("recalled %q, want %q", got, text)
		}
		if got := recallFrom(path, say); got != nil {
			t.Errorf("recalled %q a second time", got)
		}
	}
}

// TestKeptByOthers has what the hook did not leave there stand in its place: it is
// neither read nor waited for.
func TestKeptByOthers(t *testing.T) {
	tests := map[string]struct {
		put  func(path string) error
		want string
	}{
		"link": {func(path string) error { return os.Symlink("/etc/passwd", path) }, "too many levels of symbolic links"},
		"fifo": {func(path string) error { return syscall.Mkfifo(path, 0o600) }, "not the hook's own file"},
		"dir":  {func(path string) error { return os.Mkdir(path, 0o700) }, "not the hook's own file"},
		"long": {func(path string) error { return os.WriteFile(path, make([]byte, maxKept+1), 0o600) }, "longer than"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), reportName)
			if err := tt.put(path); err != nil {
				t.Fatal(err)
			}
			var said []string
			if got := recallFrom(path, func(s string) { said = append(said, s) }); got != nil {
				t.Errorf("recalled %d bytes", len(got))
			}
			if len(said) != 1 || !strings.Contains(said[0], tt.want) {
				t.Errorf("said %q, want %q", said, tt.want)
			}
			// What is written next goes nowhere else.
			keepFor(path, []byte("own"), func(s string) { t.Error(s) })
			if got := string(recallFrom(path, func(s string) { t.Error(s) })); got != "own" {
				t.Errorf("recalled %q, want what was kept since", got)
			}
		})
	}
}
