package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/renest/renest/test/require"
)

// trees is how many containers of five namespaces a restore makes: 1,000 in all.
const trees = 200

// BenchmarkRestore makes user, pid, UTS, IPC and mount namespaces by the hundred.
func BenchmarkRestore(b *testing.B) {
	require.Root(b)
	require.Command(b, "unshare", "util-linux")
	renest, floor := build(b), compile(b, "crowd")
	image := imageOf(b, renest, floor, strconv.Itoa(trees))

	contest(b, 5,
		contender{name: "renest", run: func() (time.Duration, error) { return timeRestore(renest, image) }},
		contender{name: "floor", budget: 1.3, run: timeCrowd(floor, strconv.Itoa(trees))},
		contender{name: "unshare", budget: 0.1, run: timeUnshare},
	)
	reportHolder(b, renest, image)
}

// imageOf is an image of a crowd that has ended.
func imageOf(b *testing.B, renest, program string, args ...string) string {
	b.Helper()
	c, err := startCrowd(program, args...)
	if err != nil {
		b.Fatal(err)
	}
	defer c.stop()
	image := filepath.Join(b.TempDir(), "crowd.img")
	dump := exec.Command(renest, "dump", "-t", strconv.Itoa(c.cmd.Process.Pid), "-o", image)
	if out, err := dump.CombinedOutput(); err != nil {
		b.Fatalf("dump: %v: %s", err, out)
	}
	return image
}

func treeName() string { return "bench-" + strconv.Itoa(os.Getpid()) }

// timeRestore times a restore up to the moment when the tree stands; taking it
// down again is not counted.
func timeRestore(renest, image string) (time.Duration, error) {
	took, err := timed(renest, "restore", "-d", "--name", treeName(), image)()
	if err != nil {
		return 0, err
	}
	_, err = timed(renest, "rm", treeName())()
	return took, err
}

func timeCrowd(program string, args ...string) func() (time.Duration, error) {
	return func() (time.Duration, error) {
		start := time.Now()
		c, err := startCrowd(program, args...)
		if err != nil {
			return 0, err
		}
		took := time.Since(start)
		c.stop()
		return took, nil
	}
}

// timeUnshare times the script up to the last "there".
func timeUnshare() (time.Duration, error) {
	cmd := exec.Command("sh", "testdata/unshare.sh", strconv.Itoa(trees))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	lines := 0
	for s := bufio.NewScanner(out); lines < trees && s.Scan(); {
		lines++
	}
	took := time.Since(start)
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	_ = cmd.Wait() // killed
	if lines < trees {
		return 0, fmt.Errorf("%d of %d are there", lines, trees)
	}
	return took, nil
}

// reportHolder reports what a holder takes of memory while it does nothing.
func reportHolder(b *testing.B, renest, image string) {
	b.Helper()
	out, err := exec.Command(renest, "restore", "--json", "-d", "--name", treeName(), image).Output()
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if out, err := exec.Command(renest, "rm", treeName()).CombinedOutput(); err != nil {
			b.Errorf("rm: %v: %s", err, out)
		}
	}()
	var tree struct {
		Namespaces []struct {
			Live string
			PID  int
		}
	}
	if err := json.Unmarshal(out, &tree); err != nil {
		b.Fatal(err)
	}
	var all []int
	for _, n := range tree.Namespaces {
		if strings.HasPrefix(n.Live, "pid:") && n.PID > 0 && n.PID != os.Getpid() {
			if pss, err := pss(n.PID); err == nil {
				all = append(all, pss)
			}
		}
	}
	if len(all) == 0 {
		b.Fatal("no holder's memory could be read")
	}
	b.ReportMetric(float64(median(all)), "holder-KiB-PSS")
}

// pss reads how many KiB are a process's own, and its share of what it shares.
func pss(pid int) (int, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "Pss:" {
			return strconv.Atoi(f[1])
		}
	}
	return 0, fmt.Errorf("no Pss in smaps_rollup of %d", pid)
}
