//go:build linux && (amd64 || arm64)

package restore_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/renest/renest/restore"
)

// writeClaim records a restore under way that there never was, changed by change.
func writeClaim(t *testing.T, name string, change func(claim map[string]any)) string {
	t.Helper()
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	c := map[string]any{
		"name": name, "boot_id": strings.TrimSpace(string(boot)), "pid_namespace": space,
		"maker":  map[string]any{"pid": os.Getpid(), "start": 1}, // an earlier process of this number
		"family": map[string]any{"device": 1, "inode": 0},
	}
	change(c)
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(restore.StateDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(restore.StateDir(), "."+name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func gone(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there: %v", path, err)
	}
}

// unfinished wants these restores, and no others, to be listed as unfinished.
func unfinished(t *testing.T, want ...restore.Unfinished) {
	t.Helper()
	got, err := restore.ListUnfinished()
	if err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("unfinished (-want +got):\n%s", diff)
	}
}

// TestLeftovers finds the records of restores that were killed.
func TestLeftovers(t *testing.T) {
	same := func(map[string]any) {}
	t.Run("the next run", func(t *testing.T) {
		path := writeClaim(t, "left", same)
		older := writeClaim(t, "older", func(c map[string]any) { c["boot_id"] = "another" })
		s := execute(t, small(), restore.Options{Name: "left"})
		gone(t, older)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		gone(t, path)
		gone(t, restore.StateDir())
	})
	t.Run("remove", func(t *testing.T) {
		writeClaim(t, "left", same)
		unfinished(t, restore.Unfinished{Name: "left", Maker: restore.Process{PID: os.Getpid(), Start: 1}, Killed: true})
		if err := restore.Remove("left"); err != nil {
			t.Error(err)
		}
		gone(t, restore.StateDir())
	})
	t.Run("beside a tree", func(t *testing.T) {
		tree := commit(t, execute(t, small(), restore.Options{Name: "left"}))
		path := writeClaim(t, "left", same)
		_, err := restore.Execute(t.Context(), plan(t, small()), restore.Options{Name: "left"})
		wantError(t, err, "renest rm left")
		gone(t, path)
		if alive, all := tree.Alive(); alive != all {
			t.Errorf("%d of %d are alive", alive, all)
		}
	})
	t.Run("damaged", func(t *testing.T) {
		path := writeClaim(t, "left", same)
		if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(path)
		wantError(t, restore.Remove("left"), path)
		s := execute(t, small(), restore.Options{Name: "other"})
		if notes := strings.Join(s.Notes, "\n"); !strings.Contains(notes, path) {
			t.Errorf("notes lack %s: %s", path, notes)
		}
	})
	alsoAsUser(t)
}

// TestUnderway leaves alone what goes on, or may.
func TestUnderway(t *testing.T) {
	defer os.Remove(restore.StateDir())
	for name, change := range map[string]func(map[string]any){
		"elsewhere": func(c map[string]any) { c["pid_namespace"] = "pid:[1]" },
		"parent": func(c map[string]any) {
			pid := os.Getppid()
			c["maker"] = map[string]any{"pid": pid, "start": json.Number(stat(t, pid)[19])}
		},
	} {
		path := writeClaim(t, name, change)
		list, err := restore.ListUnfinished()
		if err != nil || len(list) != 1 || list[0].Name != name || list[0].Killed {
			t.Errorf("unfinished: %v, %v", list, err)
		}
		wantError(t, restore.Remove(name), "is restoring it")
		_, err = restore.Execute(t.Context(), plan(t, small()), restore.Options{Name: name})
		wantError(t, err, "the name "+name+" is in use")
		if _, err := os.Lstat(path); err != nil {
			t.Error(err)
		}
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// TestClaimNowhere has nowhere to write the record.
func TestClaimNowhere(t *testing.T) {
	if os.Geteuid() == 0 {
		alsoAsUser(t)
		return
	}
	dir := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", dir)
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	_, err := restore.Execute(t.Context(), plan(t, small()), restore.Options{})
	wantError(t, err, "make the folder of restored trees", dir)
	noChildren(t)
}

// TestTwoAtOnce restores several trees at the same time, two of them by one name: of
// those one is refused, and the others do not notice.
func TestTwoAtOnce(t *testing.T) {
	names := []string{"one", "two", "twice", "twice", ""}
	standing := make([]*restore.Standing, len(names))
	errs := make([]error, len(names))
	var begun sync.WaitGroup
	for i, name := range names {
		p := plan(t, small())
		begun.Go(func() { standing[i], errs[i] = restore.Execute(t.Context(), p, restore.Options{Name: name}) })
	}
	begun.Wait()
	refused := 0
	for i, s := range standing {
		if errs[i] != nil && names[i] == "twice" {
			wantError(t, errs[i], "the name twice is in use")
			refused++
			continue
		}
		if errs[i] != nil {
			t.Errorf("%q: %v", names[i], errs[i])
			continue
		}
		tree, err := s.Commit(t.Context())
		if err == nil {
			defer func() {
				if err := restore.Remove(tree.Name); err != nil {
					t.Error(err)
				}
			}()
		}
		if cerr := s.Close(); err != nil || cerr != nil {
			t.Errorf("%q: %v, %v", names[i], err, cerr)
		}
	}
	if refused != 1 {
		t.Errorf("%d of two by one name were refused", refused)
	}
	trees, err := restore.List()
	if err != nil || len(trees) != len(names)-1 {
		t.Errorf("%d trees, %v", len(trees), err)
	}
}

// TestManyClaims claims and gives up names all at the same time: the folder of the
// records goes with the last of them, whenever another is about to write there.
func TestManyClaims(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	var claiming sync.WaitGroup
	for i := range 4 {
		claiming.Go(func() {
			for range 50 {
				if err := restore.Claim(fmt.Sprintf("claim%d", i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	claiming.Wait()
}
