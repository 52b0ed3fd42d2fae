package test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/renest/renest/test/seed"
)

// every has the tests that spoil a restore try all there is to try, which takes
// minutes:
//
//	go test ./test -v -timeout 60m -run 'TestInjected|TestKilledAt' -args -every
var every = flag.Bool("every", false, "try every place, not a sample")

// spoilt is what one run of program inject came to.
type spoilt struct {
	Places []struct{ Name, What string }
	Hit    bool
	code   int
	stderr string
}

// inject runs renest under program inject.
func inject(t *testing.T, how []string, args ...string) spoilt {
	t.Helper()
	report := filepath.Join(os.TempDir(), "report")
	defer os.Remove(report)
	var stdout, stderr bytes.Buffer
	ctx, cancel := context.WithTimeoutCause(t.Context(), 3*time.Minute, errors.New("renest hangs"))
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t, "inject"), slices.Concat([]string{"-report", report}, how, []string{"--", program(t, "renest")}, args)...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	if ctx.Err() != nil {
		t.Errorf("inject %s: %v\n%s", strings.Join(how, " "), context.Cause(ctx), stderr.String())
		return spoilt{code: 1, stderr: "renest: "}
	}
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("inject %s: %v\n%s", strings.Join(how, " "), err, stderr.String())
	}
	var s spoilt
	data, err := os.ReadFile(report)
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		t.Fatalf("inject %s: %v\n%s", strings.Join(how, " "), err, stderr.String())
	}
	s.code, s.stderr = cmd.ProcessState.ExitCode(), stderr.String()
	return s
}

// errnos are errors that a call may well give.
func errnos(call string) []syscall.Errno {
	switch call {
	case "clone", "clone3", "unshare":
		return []syscall.Errno{syscall.ENOSPC, syscall.EPERM, syscall.ENOMEM, syscall.EAGAIN}
	case "openat", "openat2", "dup3", "pipe2", "memfd_create", "fcntl":
		return []syscall.Errno{syscall.EMFILE, syscall.EACCES, syscall.ENOMEM, syscall.EINTR}
	case "write", "fsync", "ftruncate", "linkat", "mkdirat":
		return []syscall.Errno{syscall.ENOSPC, syscall.EPERM, syscall.EINTR}
	case "close", "read", "pread64", "wait4", "waitid", "ppoll":
		return []syscall.Errno{syscall.EIO, syscall.EINTR}
	}
	return []syscall.Errno{syscall.EPERM, syscall.ENOMEM}
}

// TestInjected has a restore's system calls fail, one in each run, and expects that
// the host is as before, and a message that says what failed.
func TestInjected(t *testing.T) { inSandbox(t, testInjected) }

func testInjected(t *testing.T) {
	image, clean := sandboxImage(t)
	random := rand.New(rand.NewPCG(seed.Of(t), 0))
	for _, args := range [][]string{
		{"restore", "-d", "--name", "spoilt", image},
		{"restore", "--name", "spoilt", image, "--", program(t, "renest"), "--version"},
	} {
		all := places(t, args, clean)
		trials := failures(all)
		tried := sample(random, trials, 25)
		through := 0
		for _, f := range tried {
			s := inject(t, []string{"-at", f.place, "-errno", fmt.Sprint(int(f.errno))}, args...)
			t.Logf("%s: exit code %d %s", f, s.code, strings.TrimSpace(s.stderr))
			if s.code == 0 {
				through++
			}
			settleSpoilt(t, s, image, f.String())
			waitClean(t, clean, f.String())
		}
		t.Logf("%s: %d of %d failures in %d places tried, %d did no harm", args[1], len(tried), len(trials), len(all.Places), through)
	}
}

// failure is a call that is to fail.
type failure struct {
	place, what string
	errno       syscall.Errno
}

func (f failure) String() string {
	return fmt.Sprintf("%s (%s) fails with %v", f.place, f.what, f.errno)
}

// failures lists what may fail in a run: in agents every call in every way that it
// may well, in the program itself, which makes ten times as many, in one.
func failures(s spoilt) []failure {
	var list []failure
	for i, p := range s.Places {
		process, call, _ := strings.Cut(p.Name, "/")
		call, _, _ = strings.Cut(call, "/")
		ways := errnos(call)
		if process == "0" {
			ways = ways[i%len(ways):][:1]
		}
		for _, errno := range ways {
			list = append(list, failure{p.Name, p.What, errno})
		}
	}
	return list
}

// sample returns n of list, or all of them with -every.
func sample[T any](random *rand.Rand, list []T, n int) []T {
	if *every {
		return list
	}
	if testing.Short() {
		n = 3
	}
	list = slices.Clone(list)
	random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:min(n, len(list))]
}

// places lists where a run that nothing disturbs makes system calls.
func places(t *testing.T, args []string, clean []string) spoilt {
	t.Helper()
	all := inject(t, nil, args...)
	if all.code != 0 || len(all.Places) == 0 {
		t.Fatalf("undisturbed: exit code %d\n%s", all.code, all.stderr)
	}
	if standing(t, "spoilt") {
		renest(t, 0, "rm", "spoilt")
	}
	waitClean(t, clean, "undisturbed")
	return all
}

// settleSpoilt looks at how a spoilt restore ended, and takes down what stands.
func settleSpoilt(t *testing.T, s spoilt, image, when string) {
	t.Helper()
	stands := standing(t, "spoilt")
	switch {
	case s.code == 0 && stands:
		renest(t, 0, "diff", image, "live:spoilt")
	case stands:
		t.Errorf("%s: exit code %d, and the tree stands", when, s.code)
	case s.code == 1 && strings.HasPrefix(s.stderr, "renest: "):
	case s.code != 0:
		t.Errorf("%s: exit code %d:\n%s", when, s.code, s.stderr)
	}
	if stands {
		renest(t, 0, "rm", "spoilt")
	}
}
