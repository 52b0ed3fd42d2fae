//go:build linux && (amd64 || arm64)

package restore_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/renest/renest/restore"
)

// idle is a helper that says when it is there and waits to be killed.
func idle([]string) int {
	fmt.Println("ready")
	time.Sleep(time.Hour)
	return 0
}

// TestNumbersComeAgain has records whose numbers are by now those of processes
// that have nothing to do with the tree: no one touches them.
func TestNumbersComeAgain(t *testing.T) {
	tree := commit(t, execute(t, small(), restore.Options{Name: "first"}))
	stranger := startStranger(t, tree.Keeper.Start)
	text, err := os.ReadFile(filepath.Join(restore.StateDir(), "first"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, from, to string }{
		{"later", fmt.Sprintf(`"pid":%d,`, tree.Keeper.PID), fmt.Sprintf(`"pid":%d,`, stranger)},
		{"boot", tree.BootID, "00000000-0000-0000-0000-000000000000"},
	} {
		record := strings.ReplaceAll(string(text), tt.from, tt.to)
		if tt.name == "later" { // a record of nothing but the keeper
			record = strings.ReplaceAll(record, `"holders":[`, `"once":[`)
		}
		path := filepath.Join(restore.StateDir(), tt.name)
		if err := os.WriteFile(path, []byte(record), 0o600); err != nil {
			t.Fatal(err)
		}
		found, err := restore.Find(tt.name)
		if err != nil {
			t.Fatal(err)
		}
		if alive, _ := found.Alive(); alive != 0 {
			t.Errorf("%s: %d are alive", tt.name, alive)
		}
		if err := restore.Remove(tt.name); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if alive, all := tree.Alive(); alive != all {
		t.Errorf("of the true tree %d of %d are alive", alive, all)
	}
	if stat(t, stranger)[0] == "Z" {
		t.Error("the stranger was killed")
	}
}

// startStranger starts a process in another clock tick than the one given.
func startStranger(t *testing.T, tick uint64) int {
	t.Helper()
	for {
		cmd := helper(t, "idle")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		end := func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		_, err = bufio.NewReader(out).ReadString('\n')
		if err == nil && stat(t, cmd.Process.Pid)[19] != fmt.Sprint(tick) {
			t.Cleanup(end)
			return cmd.Process.Pid
		}
		end()
		if err != nil {
			t.Fatal(err)
		}
	}
}

// stat returns the fields of /proc/PID/stat from the state on, the third.
func stat(t *testing.T, pid int) []string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return strings.Fields(rest)
}

// TestDamagedRecord has a record that cannot be read among others that can.
func TestDamagedRecord(t *testing.T) {
	tree := commit(t, execute(t, small(), restore.Options{Name: "whole"}))
	for _, text := range []string{"", "{", `{"keeper": 7}`, `[]`} {
		path := filepath.Join(restore.StateDir(), "damaged")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := restore.Find("damaged")
		wantError(t, err, path)
		list, err := restore.List()
		wantError(t, err, path)
		if len(list) != 1 || list[0].Name != "whole" {
			t.Errorf("listed %v", list)
		}
		_, err = restore.Execute(t.Context(), plan(t, small()), restore.Options{Name: "damaged"})
		wantError(t, err, path)
		wantError(t, restore.Remove("damaged"), path)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if alive, all := tree.Alive(); alive != all {
		t.Errorf("of the whole tree %d of %d are alive", alive, all)
	}
}

// TestStateDir wants records kept only where nobody else can write them: they
// say which processes are killed.
func TestStateDir(t *testing.T) {
	dir := restore.StateDir()
	for _, tt := range []struct {
		name string
		make func() error
		root bool
	}{
		{"others may write", func() error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777)) }, false},
		{"the group may write", func() error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o770)) }, false},
		{"another's", func() error { return errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, nobody, nobody)) }, true},
		{"a link", func() error { return os.Symlink(t.TempDir(), dir) }, false},
		{"a file", func() error { return os.WriteFile(dir, nil, 0o600) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.root && os.Geteuid() != 0 {
				t.Skip("needs root: chown")
			}
			if err := tt.make(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := os.Remove(dir); err != nil {
					t.Error(err)
				}
			}()
			_, err := restore.Find("safe")
			wantError(t, err, dir+" is not a folder that only you can write to")
			wantError(t, restore.Remove("safe"), dir+" is not a folder that only you can write to")
			_, err = restore.Execute(t.Context(), plan(t, small()), restore.Options{Name: "safe"})
			wantError(t, err, dir+" is not a folder that only you can write to")
			noChildren(t)
		})
	}
	alsoAsUser(t)
}

// TestStateDirOfUsers looks where an ordinary user's records are.
func TestStateDirOfUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		for _, tt := range []struct{ runtime, want string }{
			{"/run/user/7", "/run/user/7/renest"},
			{"relative", fmt.Sprintf("/var/tmp/renest-%d", os.Geteuid())},
			{"", fmt.Sprintf("/var/tmp/renest-%d", os.Geteuid())},
		} {
			t.Setenv("XDG_RUNTIME_DIR", tt.runtime)
			t.Setenv("TMPDIR", "/var/tmp")
			if got := restore.StateDir(); got != tt.want {
				t.Errorf("XDG_RUNTIME_DIR=%q: %s, want %s", tt.runtime, got, tt.want)
			}
		}
	} else if got := restore.StateDir(); got != "/run/renest" {
		t.Errorf("root's: %s", got)
	}
	alsoAsUser(t)
}
