//go:build linux && (amd64 || arm64)

package restore_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/renest/renest/restore"
)

// TestNameInUse has two trees want one name.
func TestNameInUse(t *testing.T) {
	first := execute(t, small(), restore.Options{Name: "same"})
	refused := func(want ...string) {
		t.Helper()
		rounds := 0
		_, err := restore.Execute(t.Context(), plan(t, small()), restore.Options{Name: "same", Progress: func(int, int) { rounds++ }})
		wantError(t, err, want...)
		if rounds != 0 {
			t.Errorf("refused after %d rounds", rounds)
		}
	}
	refused("the name same is in use", "choose another")
	wantError(t, restore.Remove("same"), fmt.Sprintf("process %d is restoring it", os.Getpid()))
	tree := commit(t, first)
	refused("the name same is in use", "renest rm same")
	if alive, all := tree.Alive(); alive != all {
		t.Errorf("of the first %d of %d are alive", alive, all)
	}
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "web-1": true, "A.b_c": true, strings.Repeat("n", 64): true,
		"": false, ".": false, "..": false, "1": false, "4711": false, "-d": false, ".hidden": false, "a/b": false,
		"../x": false, "a b": false, "ä": false, "a\n": false, "a\x00": false, strings.Repeat("n", 65): false,
	} {
		if err := restore.CheckName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
		if ok {
			continue
		}
		if _, err := restore.Find(name); err == nil || errors.Is(err, restore.ErrNotFound) {
			t.Errorf("find %q: %v", name, err)
		}
		if err := restore.Remove(name); err == nil || errors.Is(err, restore.ErrNotFound) {
			t.Errorf("remove %q: %v", name, err)
		}
		if name == "" {
			continue // a name is made up
		}
		if s, err := restore.Execute(t.Context(), plan(t, small()), restore.Options{Name: name}); err == nil {
			t.Errorf("restored as %q", name)
			_ = s.Close()
		}
	}
}

// TestNotFound has names that are good and nobody's.
func TestNotFound(t *testing.T) {
	if _, err := restore.Find("nobody"); !errors.Is(err, restore.ErrNotFound) {
		t.Errorf("find: %v", err)
	}
	if err := restore.Remove("nobody"); !errors.Is(err, restore.ErrNotFound) {
		t.Errorf("remove: %v", err)
	}
	if list, err := restore.List(); err != nil || len(list) > 0 {
		t.Errorf("list: %v, %v", list, err)
	}
}
