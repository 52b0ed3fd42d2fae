package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/renest/renest/test/seed"
)

// TestKilled kills a restore at moments of chance and expects that nothing is left
// of it. It runs again as the first process of a pid and a mount namespace of its
// own: there, whatever is left has nowhere to hide.
func TestKilled(t *testing.T) { inSandbox(t, testKilled) }

func testKilled(t *testing.T) {
	image, clean := sandboxImage(t)
	// How long it takes undisturbed is the span that the moments fall in.
	const name = "killed"
	span := time.Hour
	for range 3 {
		start := time.Now()
		if code := restoreKilled(t, image, name, time.Hour); code != 0 {
			t.Fatalf("undisturbed: exit code %d", code)
		}
		span = min(span, time.Since(start))
		renest(t, 0, "rm", name)
		waitClean(t, clean, "after rm")
	}
	t.Logf("a restore takes %s", span)
	random := rand.New(rand.NewPCG(seed.Of(t), 0))
	for kills, tries := 0, 0; kills < 10; tries++ {
		if tries == 200 {
			t.Fatal("too few kills came in time")
		}
		moment := time.Duration(random.Int64N(int64(span)))
		code := restoreKilled(t, image, name, moment)
		if code < 0 {
			kills++
			t.Logf("killed at %s", moment)
		}
		if standing(t, name) {
			// It was finished, and then it is whole.
			renest(t, 0, "diff", image, "live:"+name)
			renest(t, 0, "rm", name)
		} else if code == 0 {
			t.Errorf("restore exited 0, and ps does not list the tree")
		}
		when := fmt.Sprintf("after a kill at %s, exit code %d", moment, code)
		waitClean(t, clean, when, "file /run/renest/.killed") // if the guardian was not there yet
		remove(t, name)
		waitClean(t, clean, when)
	}
}

// TestKilledAt kills a restore before and after every system call of a plan of 60
// steps: renest alone, the guardians that would undo what it did, and all together.
// Then renest rm, or the next restore, leaves the host as before.
func TestKilledAt(t *testing.T) { inSandbox(t, testKilledAt) }

func testKilledAt(t *testing.T) {
	image, clean := sandboxImage(t)
	steps := countSteps(t, image)
	t.Logf("%d steps", steps)
	if os.Geteuid() == 0 && steps < 60 {
		t.Errorf("%d steps, want 60 or more", steps)
	}
	args := []string{"restore", "-d", "--name", "spoilt", image}
	all := places(t, args, clean)
	var kills [][]string
	for _, p := range all.Places {
		for _, whom := range []string{"0", "crew", "guardians"} {
			kills = append(kills, []string{"-at", p.Name, "-kill", whom}, []string{"-at", p.Name, "-kill", whom, "-after"})
		}
	}
	tried := sample(rand.New(rand.NewPCG(seed.Of(t), 0)), kills, 30)
	left := 0
	for i, how := range tried {
		s := inject(t, how, args...)
		when := strings.Join(how, " ")
		killed := 128 + int(syscall.SIGKILL)
		if how[3] == "guardians" {
			killed = 1
		}
		switch {
		case s.code != 0 && s.code != killed: // 0: it had just ended
			t.Errorf("%s: exit code %d\n%s", when, s.code, s.stderr)
		case how[3] == "guardians" && s.code != 0:
			waitClean(t, clean, when)
		case how[3] != "0": // of what stands the keeper is dead
		case standing(t, "spoilt"):
			renest(t, 0, "diff", image, "live:spoilt")
		default: // the guardian lives
			waitClean(t, clean, when, "file /run/renest/.spoilt")
		}
		if len(remains(t)) > len(clean) {
			left++
		}
		if i%4 == 0 && !standing(t, "spoilt") { // the next run
			renest(t, 0, "restore", "--name", "next", image, "--", program(t, "renest"), "--version")
		} else {
			remove(t, "spoilt")
		}
		waitClean(t, clean, when)
	}
	t.Logf("%d of %d kills in %d places tried, %d left something until it was cleaned", len(tried), len(kills), len(all.Places), left)
}

// countSteps counts the steps of an image's plan.
func countSteps(t *testing.T, image string) int {
	t.Helper()
	var plan struct{ Steps []any }
	if err := json.Unmarshal([]byte(renest(t, 0, "restore", "--dry-run", "--json", image)), &plan); err != nil {
		t.Fatal(err)
	}
	return len(plan.Steps)
}

// remove takes down a tree, or what is left of one, if there is any.
func remove(t *testing.T, name string) {
	t.Helper()
	out, err := exec.Command(program(t, "renest"), "rm", name).CombinedOutput()
	if err != nil && !strings.Contains(string(out), "no such restored tree") {
		t.Errorf("rm: %v\n%s", err, out)
	}
}

// restoreKilled restores an image, kills renest after a while, and returns its
// exit code, -1 where the kill came in time.
func restoreKilled(t *testing.T, image, name string, after time.Duration) int {
	t.Helper()
	var output bytes.Buffer
	cmd := exec.Command(program(t, "renest"), "restore", "-d", "--name", name, image)
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.WaitDelay = 10 * time.Second // a tree that stands must not hold its output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	timer.Stop()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("restore: %v\n%s", err, output.String())
	}
	if code := cmd.ProcessState.ExitCode(); code > 0 {
		t.Fatalf("restore: exit code %d\n%s", code, output.String())
	}
	return cmd.ProcessState.ExitCode()
}
