package test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/renest/renest/test/require"
	"github.com/renest/renest/test/suite"
	"github.com/renest/renest/test/vm"
)

// built is what the tests use, built when first asked for, for all of them.
type built struct {
	dir   string // an ordinary user can read it
	shape func() (string, error)
	on    map[string]builtOn // by architecture
}

// builtOn is what is built for an architecture.
type builtOn struct {
	binaries func() ([]suite.Binary, error)
	programs func() (string, error)
}

// patterns name the packages whose tests are taken elsewhere: where the processor is
// another, those that depend on it, by code of their own for each or by agents.
func patterns(arch string) []string {
	switch {
	case *only != "":
		return []string{suite.Module + "/" + *only}
	case arch != runtime.GOARCH:
		return []string{suite.Module + "/nsfs/...", suite.Module + "/restore"}
	}
	return []string{suite.Module + "/..."}
}

func (b *built) addArch(arch string) error {
	dir := filepath.Join(b.dir, arch)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	b.on[arch] = builtOn{
		binaries: sync.OnceValues(func() ([]suite.Binary, error) {
			return suite.Build(context.Background(), dir, arch, patterns(arch)...)
		}),
		programs: sync.OnceValues(func() (string, error) {
			return buildPrograms(context.Background(), filepath.Join(dir, "programs"), arch)
		}),
	}
	return nil
}

var builds *built

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "renest-test-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // an ordinary user runs what is in it
		return 1, err
	}
	builds = &built{
		dir:   dir,
		shape: sync.OnceValues(func() (string, error) { return buildShape(context.Background(), dir) }),
		on:    map[string]builtOn{},
	}
	for _, m := range append(vm.Machines(), vm.Machine{Arch: runtime.GOARCH}) {
		if err := builds.addArch(m.Arch); err != nil {
			return 1, err
		}
	}
	code := m.Run()
	if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); !errors.Is(err, syscall.ECHILD) {
		return 1, fmt.Errorf("the tests leave children behind: wait4 says %d, %w", pid, err)
	}
	return code, nil
}

// programsVariable names the environment variable that says where the programs
// are, for a test that runs where they cannot be built.
const programsVariable = "RENEST_PROGRAMS"

// programs are what the scenarios use: renest, and what it is used on.
func programs() []string {
	return []string{"cmd/renest", "test/counter", "test/inject", "test/nest"}
}

func buildPrograms(ctx context.Context, dir, arch string) (string, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	for _, pkg := range programs() {
		if _, err := suite.BuildProgram(ctx, dir, arch, pkg); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// buildShape builds the one program in C: a process of a few pages and one thread,
// which a Go program is not.
func buildShape(ctx context.Context, dir string) (string, error) {
	file := filepath.Join(dir, "shape")
	out, err := exec.CommandContext(ctx, "gcc", "-O2", "-Wall", "-static", "-o", file, "testdata/shape.c").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build shape: %w: %s", err, out)
	}
	return file, nil
}

// shapeProgram returns the path of program shape.
func shapeProgram(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv(programsVariable); dir != "" {
		file := filepath.Join(dir, "shape")
		_, err := os.Stat(file) // C is compiled for the host's architecture alone
		require.That(t, "shape", err)
		return file
	}
	require.Command(t, "gcc", "gcc")
	path, err := builds.shape()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// program returns the path of one of the programs.
func program(t testing.TB, name string) string {
	t.Helper()
	if dir := os.Getenv(programsVariable); dir != "" {
		return filepath.Join(dir, name)
	}
	return programOn(t, runtime.GOARCH, name)
}

// programOn returns the path of a program for an architecture.
func programOn(t testing.TB, arch, name string) string {
	t.Helper()
	require.Command(t, "go", "golang")
	dir, err := builds.on[arch].programs()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// testBinaries returns the compiled tests of every package, for an architecture.
func testBinaries(t *testing.T, arch string) []suite.Binary {
	t.Helper()
	require.Command(t, "go", "golang")
	all, err := builds.on[arch].binaries()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// To look into a failure elsewhere:
//
//	go test ./test -v -run 'TestVM/trixie$' -args -only nsfs/agent -inner '-test.run=TestRun -test.count=20'
var (
	only  = flag.String("only", "", "run elsewhere the tests of this package alone")
	inner = flag.String("inner", "", "more flags for test binaries that run elsewhere")
)

// elsewhere tells whether it is worth while to run the tests of a package as
// another user or on another kernel: those of pure packages would say the same
// again, and those of the harness need what is only here.
func elsewhere(b suite.Binary) bool {
	if *only != "" {
		return b.Name() == *only
	}
	return !b.Pure && b.Name() != "test/vm"
}

// flags are those of a test binary that runs elsewhere.
func flags(limit time.Duration) []string {
	return append([]string{"-test.v=test2json", "-test.timeout=" + limit.String()}, strings.Fields(*inner)...)
}

// settle adds what a test binary printed elsewhere to a pass and fails t if it
// failed.
func settle(t *testing.T, pass *suite.Pass, b suite.Binary, code int, output string) {
	t.Helper()
	failed, err := pass.Read(t.Context(), b.Package, output)
	if err != nil {
		t.Fatal(err)
	}
	if code != 0 {
		if failed == "" {
			failed = output
		}
		t.Errorf("exit code %d:\n%s", code, failed)
		return
	}
	t.Logf("%d passed, %d skipped", pass.Count(b.Package, "pass"), pass.Count(b.Package, "skip"))
	if *only != "" {
		t.Log(output)
	}
}
