package images

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestNoFile wants nothing in a folder read, written to or waited for that is no file: a
// tree may stand still meanwhile.
func TestNoFile(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"pipe":           func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"link to a pipe": func(path string) error { return os.Symlink(pipe(t), path) },
		"device":         func(path string) error { return os.Symlink("/dev/zero", path) },
		"folder":         func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := put(filepath.Join(dir, Name)); err != nil {
				t.Fatal(err)
			}
			_, err := ReadFile(dir)
			for what, err := range map[string]error{"read": err, "write": WriteDir(dir, full()), "write beside": WriteBeside(dir, full())} {
				if err == nil || !strings.Contains(err.Error(), Name+" is not a file") {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

func pipe(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
