package bench

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/images"
	"github.com/renest/renest/test/criu"
	"github.com/renest/renest/test/require"
)

// BenchmarkFreeze has CRIU dump a tree of 100 tasks and let it run on, and measures
// what renest adds to the time that the tree stands still: as an action script, with
// the start of the program, and as go-criu's notification. Before the dump, at no
// cost to the tree, comes check.
func BenchmarkFreeze(b *testing.B) {
	i := criu.Require(b)
	renest := build(b)
	root := frozenTree(b, 100)
	dir := b.TempDir()
	script := func(action string) (time.Duration, error) {
		cmd := exec.Command(renest)
		cmd.Env = append(os.Environ(), "CRTOOLS_SCRIPT_ACTION="+action, "CRTOOLS_IMAGE_DIR="+dir,
			"CRTOOLS_INIT_PID="+strconv.Itoa(root), "RENEST_HOOK=enforce")
		start := time.Now()
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return time.Since(start), err
	}
	hook := func() (time.Duration, error) {
		if _, err := script("pre-dump"); err != nil { // the tree still runs
			return 0, err
		}
		return script("post-dump")
	}
	notify := func() (time.Duration, error) {
		n := dump.Notify{PID: root, Dir: dir, Save: images.WriteBeside}
		if err := n.PreDump(); err != nil {
			return 0, err
		}
		start := time.Now()
		err := n.PostDump()
		return time.Since(start), err
	}
	var frozen []time.Duration
	alone := func() (time.Duration, error) {
		took, err := freeze(i, root)
		frozen = append(frozen, took)
		return took, err
	}
	first := contest(b, 7,
		contender{name: "post-dump-script", run: hook},
		contender{name: "post-dump-notify", run: notify},
		contender{name: "check", run: timed(renest, "check", "-t", strconv.Itoa(root))},
		contender{name: "criu-frozen", run: alone},
	)
	b.Logf("post-dump of 100 tasks: %.1f ms, budget 10 ms; CRIU itself keeps the tree frozen for %.0f ms",
		milliseconds(first), milliseconds(median(frozen)))
}

// frozenTree starts a tree of n tasks that CRIU is content with.
func frozenTree(b *testing.B, n int) int {
	b.Helper()
	program := prebuilt("shape")
	if program == "" {
		require.Command(b, "gcc", "gcc")
		program = filepath.Join(b.TempDir(), "shape")
		out, err := exec.Command("gcc", "-O2", "-static", "-o", program, "../testdata/shape.c").CombinedOutput()
		if err != nil {
			b.Fatalf("%v: %s", err, out)
		}
	}
	tokens := strings.Fields("net uts ipc ( sid name=root " + strings.Repeat("( ) ", n-1) + ") leave")
	cmd := exec.Command(program, tokens...)
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	root := 0
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "ready"; {
		if _, err := fmt.Sscanf(lines.Text(), "root %d", &root); err != nil {
			b.Fatal(err)
		}
	}
	if root == 0 {
		b.Fatal("shape made no tree")
	}
	return root
}

var frozenTime = regexp.MustCompile(`Frozen time: (\d+) us`)

// freeze has CRIU dump a tree without any hook, and returns what it says of how long
// it kept it frozen.
func freeze(i criu.Installation, root int) (time.Duration, error) {
	dir, err := os.MkdirTemp("", "renest-freeze-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	out, err := exec.Command(i.Path(), "dump", "--no-default-config", "-D", dir, "-t", strconv.Itoa(root), "-o", "log",
		"--leave-running", "--display-stats", "--manage-cgroups=ignore", "--network-lock", "nftables").CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%w: %s", err, out)
	}
	m := frozenTime.FindSubmatch(out)
	if m == nil {
		return 0, errors.New("CRIU does not say how long it froze the tree")
	}
	us, err := strconv.Atoi(string(m[1]))
	return time.Duration(us) * time.Microsecond, err
}
