package vm_test

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/renest/renest/test/require"
	"github.com/renest/renest/test/vm"
)

// TestRun sends one script through the machine: what it prints, how it exits and
// what it leaves must arrive as they are, on each kernel.
func TestRun(t *testing.T) {
	for _, m := range vm.Machines() {
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			k, err := vm.Find(m)
			require.That(t, "vm", err)
			testRun(t, k)
		})
	}
}

func testRun(t *testing.T, k vm.Kernel) {
	sh := func(uid int, script string) vm.Command {
		return vm.Command{Args: []string{"/bin/sh", "-c", script}, UID: uid}
	}
	long := sh(0, "sleep 1000 & sleep 1000")
	long.Timeout = 2 * time.Second

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	result, err := vm.Run(ctx, k, vm.Job{
		Files: append(vm.Busybox(k),
			vm.File{Path: "/data/in", Data: []byte("carried in\n"), Mode: 0o600},
			vm.File{Path: "/data/link", Link: "in"},
		),
		Commands: []vm.Command{
			sh(0, "uname -r; cat /data/link; cp /data/in /tmp/out"),
			sh(vm.Nobody, "id -u; id -G; echo $XDG_RUNTIME_DIR; touch $XDG_RUNTIME_DIR/a; echo err >&2; exit 7"),
			sh(vm.Nobody, "cat /data/in"),
			sh(0, "echo '<3>noise' >/dev/kmsg; seq 1 20000"),
			long,
			sh(0, "kill -9 $$"),
			{Args: []string{"/no/such"}},
			sh(0, "sleep 1000 & echo left behind"),
			sh(0, "busybox ip -o link show lo | grep -c LOWER_UP; mount | grep -c ^cgroup2"),
		},
		Collect: []string{"/tmp/o*"},
	})
	if err != nil {
		t.Fatal(err)
	}

	type outcome struct {
		Code                int
		Stdout, Stderr, Why string
	}
	var seq strings.Builder
	for i := range 20000 {
		seq.WriteString(strconv.Itoa(i+1) + "\n")
	}
	want := []outcome{
		{Stdout: k.Release + "\ncarried in\n"},
		{Code: 7, Stdout: "65534\n65534\n/run/user/65534\n", Stderr: "err\n"},
		{Code: 1, Stderr: "cat: can't open '/data/in': Permission denied\n"},
		{Stdout: seq.String()},
		{Code: -1, Why: "killed after 2s"},
		{Code: -1, Why: "signal: killed"},
		{Code: -1, Why: "fork/exec /no/such: no such file or directory"},
		{Stdout: "left behind\n"},
		{Stdout: "1\n1\n"},
	}
	var got []outcome
	for _, c := range result.Commands {
		got = append(got, outcome{c.Code, c.Stdout, c.Stderr, c.Why})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string][]byte{"/tmp/out": []byte("carried in\n")}, result.Files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if !strings.Contains(result.Console, "noise") {
		t.Errorf("no kernel log on the console: %q", result.Console)
	}
}

// TestRunEnds kills the system from within and from without: both are errors, and
// what the commands had got to comes with them.
func TestRunEnds(t *testing.T) {
	k, err := vm.Find(vm.Stable)
	require.That(t, "vm", err)
	for _, tt := range []struct {
		name, script string
		want         error
	}{
		{"panic", "echo c >/proc/sysrq-trigger", vm.ErrCutShort},
		{"killed", "echo enough >/dev/console; sleep 1000", context.Canceled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			var console []byte
			result, err := vm.Run(ctx, k, vm.Job{
				Files: vm.Busybox(k),
				Commands: []vm.Command{
					{Args: []string{"/bin/echo", "first"}},
					{Args: []string{"/bin/sh", "-c", tt.script}},
				},
				Console: writerFunc(func(data []byte) {
					console = append(console, data...) // a word may come in pieces
					if bytes.Contains(console, []byte("enough")) {
						cancel()
					}
				}),
			})
			if !errors.Is(err, tt.want) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			if got := result.Commands[0].Output; got != "first\n" {
				t.Errorf("the first command printed %q", got)
			}
		})
	}
}

// writerFunc is a function that is shown what is written.
type writerFunc func([]byte)

func (f writerFunc) Write(data []byte) (int, error) {
	f(data)
	return len(data), nil
}
