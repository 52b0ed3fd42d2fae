// Package require is how a test says what it needs of the machine it runs on.
//
// Where that is missing the test is skipped, and the skip names what was missing:
// "needs root: running as uid 65534". The environment variable RENEST_REQUIRE
// lists, separated by commas, what must not be missing: there the test fails
// instead, so that a run which is meant to cover something cannot leave it out in
// silence. The runner of all tests counts the skips and takes one in any other
// form for a mistake.
package require

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Variable is the environment variable that lists what must not be missing.
const Variable = "RENEST_REQUIRE"

// Prefix begins every skip's reason.
const Prefix = "needs "

// That requires what, which is there if err is nil. What is one word: "listns".
func That(t testing.TB, what string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if slices.Contains(strings.Split(os.Getenv(Variable), ","), what) {
		t.Fatalf("%s%s, which %s says must be there: %v", Prefix, what, Variable, err)
	}
	t.Skipf("%s%s: %v", Prefix, what, err)
}

// Root requires the superuser.
func Root(t testing.TB) {
	t.Helper()
	var err error
	if uid := os.Geteuid(); uid != 0 {
		err = fmt.Errorf("running as uid %d", uid)
	}
	That(t, "root", err)
}

// User requires an ordinary user.
func User(t testing.TB) {
	t.Helper()
	var err error
	if os.Geteuid() == 0 {
		err = errors.New("running as root")
	}
	That(t, "user", err)
}

// Command requires a program and returns its path. It comes with Debian package
// pkg.
func Command(t testing.TB, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		err = fmt.Errorf("%w (Debian package %s)", err, pkg)
	}
	That(t, name, err)
	return path
}

// Busybox requires a static busybox, which runs where there is nothing else, and
// returns its path.
func Busybox(t testing.TB) string {
	t.Helper()
	path := Command(t, "busybox", "busybox-static")
	file, err := elf.Open(path)
	if err == nil {
		defer file.Close()
		for _, p := range file.Progs {
			if p.Type == elf.PT_INTERP {
				err = fmt.Errorf("%s is not static (Debian package busybox-static)", path)
			}
		}
	}
	That(t, "busybox", err)
	return path
}
