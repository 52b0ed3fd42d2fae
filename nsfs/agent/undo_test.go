//go:build linux && (amd64 || arm64)

package agent

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDo has the guardian make folders within each other, one of which somebody
// else has made: at the end the others are gone, the last first.
func TestDo(t *testing.T) {
	dir := t.TempDir()
	theirs := filepath.Join(dir, "a", "theirs")
	c := start(t)
	made := 0
	for _, path := range []string{"a", "a/b", "a/theirs", "a/b/c", "a/theirs/d"} {
		path = filepath.Join(dir, path)
		if path == theirs {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		var p, undo Program
		p.Call("mkdir "+path, unix.SYS_MKDIRAT, Int(unix.AT_FDCWD), String(path), Int(0o700))
		undo.Call("rmdir", unix.SYS_UNLINKAT, Int(unix.AT_FDCWD), String(path), Int(unix.AT_REMOVEDIR))
		err := c.Do(t.Context(), &p, &undo)
		if path == theirs {
			if !errors.Is(err, unix.EEXIST) {
				t.Errorf("%s: %v", path, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		made++
	}
	if _, err := os.Stat(filepath.Join(theirs, "d")); err != nil || made != 4 {
		t.Fatalf("%d folders, %v", made, err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "a", "*"))
	if err != nil || len(left) != 1 || left[0] != theirs {
		t.Errorf("left are %q, %v", left, err)
	}
}
