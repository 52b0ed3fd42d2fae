package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/tracee"
)

// TestHookBetween has a tree change after pre-dump has judged it and before CRIU
// freezes it. What nobody was told of is vetoed: the tree runs on.
func TestHookBetween(t *testing.T) {
	for _, test := range []struct {
		name, tokens string
		mode         string
		flags        uintptr // what the youngest task unshares meanwhile
		want         string
		dumped       bool
	}{
		{"destruction", "sid name=root ( )", "enforce", unix.CLONE_NEWNET, "Can't restore sub-task|with the tree frozen", false},
		{"a new loss", containerTokens, "enforce", unix.CLONE_NEWPID, "the tree changed before it was frozen", false},
		{"a new loss, warn", containerTokens, "warn", unix.CLONE_NEWPID, "the mode is warn", true},
		{"none", containerTokens, "enforce", 0, "", true},
	} {
		if long(test.name, "a new loss") {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			root := shapeRoot(t)
			d, gate := newCRIUDir(t, root), newGate(t, "pre-dump")
			d.args = append(d.args, "--action-script", gate.script) // CRIU begins with the last one
			d = d.withHook(t, test.mode)
			s := startShape(t, strings.ReplaceAll(test.tokens, "PIVOT", "pivot="+root+" sid"))
			pids := family(s.root)
			type result struct {
				log string
				err error
			}
			done := make(chan result, 1)
			go func() {
				log, err := d.dump(t, s.root)
				done <- result{log, err}
			}()
			gate.wait(t)
			if test.flags != 0 {
				asleep(t, pids[len(pids)-1])
				err := tracee.Hold(t.Context(), pids[len(pids)-1], func(h *tracee.Held) error {
					_, err := h.Call("unshare", unix.SYS_UNSHARE, test.flags)
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
			gate.open(t)
			r := <-done
			if (r.err == nil) != test.dumped || alive(s.root) == test.dumped {
				t.Errorf("criu dump: %v, the tree runs: %v\n%s", r.err, alive(s.root), errorsOf(r.log))
			}
			want := strings.Split(test.want, "|")
			if said := saidBy(r.log); !strings.Contains(said, want[len(want)-1]) || test.want == "" && said != "" {
				t.Errorf("renest says: %s", said)
			}
			if left, _ := filepath.Glob(d.dir + "/renest-*"); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// gate is an action script that waits at an action until it is let through.
type gate struct{ script, reached, opened string }

func newGate(t *testing.T, action string) gate {
	t.Helper()
	dir := t.TempDir()
	g := gate{dir + "/script", dir + "/reached", dir + "/opened"}
	text := fmt.Sprintf("#!/bin/sh\n[ \"$CRTOOLS_SCRIPT_ACTION\" = %s ] || exit 0\necho > %s\nread x < %s\n", action, g.reached, g.opened)
	if err := os.WriteFile(g.script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{g.reached, g.opened} {
		if err := unix.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

func (g gate) wait(t *testing.T) {
	t.Helper()
	if _, err := os.ReadFile(g.reached); err != nil {
		t.Fatal(err)
	}
}

func (g gate) open(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(g.opened, []byte("\n"), 0); err != nil {
		t.Fatal(err)
	}
}
