package test

import (
	"strconv"
	"strings"
	"testing"
)

// TestCRIUShared has processes with one working directory (CLONE_FS), which CRIU does not
// dump: that is said before.
func TestCRIUShared(t *testing.T) {
	if testing.Short() {
		return
	}
	c := newCRIU(t)
	for name, tokens := range map[string]string{
		"a user namespace of its own": "user=0:100000:65536 mnt pid uts ipc net ( name=root pivot=DIR sid ( user=0:1:1000 fs ( ) ( ) ) ) leave",
		"nothing of its own":          "user=0:100000:65536 mnt pid uts ipc net ( name=root pivot=DIR sid ( ) fs ( ) ) leave",
	} {
		t.Run(name, func(t *testing.T) {
			root := shapeRoot(t)
			s := startShape(t, strings.ReplaceAll(tokens, "DIR", root))
			out := renestFails(t, "criu", "dump", "--criu", c.path, "-t", strconv.Itoa(s.root), "-D", t.TempDir())
			if strings.Count(out, "share root and working directory") != 1 || !alive(s.root) {
				t.Errorf("it lives: %v, renest says %q", alive(s.root), out)
			}
			if !strings.Contains(tokens, "user=0:1:") {
				if log, err := newCRIUDir(t, root).dump(t, s.root); err == nil || !strings.Contains(log, "Can't make FS id") {
					t.Errorf("CRIU alone: %v, %s", err, errorsOf(log))
				}
			}
		})
	}
}
