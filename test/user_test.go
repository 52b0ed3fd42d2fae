package test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/renest/renest/test/require"
	"github.com/renest/renest/test/suite"
)

// nobody is the ordinary user.
const nobody = 65534

// TestUser runs the tests of every package again as an ordinary user.
func TestUser(t *testing.T) {
	require.Root(t)
	pass := suite.NewPass("nobody")
	for _, b := range testBinaries(t, runtime.GOARCH) {
		if !elsewhere(b) {
			continue
		}
		t.Run(b.Name(), func(t *testing.T) {
			output, err := runAsNobody(t, b)
			code := 0
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				code = exit.ExitCode()
			} else if err != nil {
				t.Fatal(err)
			}
			settle(t, pass, b, code, output)
		})
	}
	if err := pass.Leave(); err != nil {
		t.Error(err)
	}
}

// runAsNobody runs a test binary in a folder of the user's own, with a copy of
// its testdata: the repository may lie where an ordinary user cannot read.
func runAsNobody(t *testing.T, b suite.Binary) (string, error) {
	t.Helper()
	programs := filepath.Dir(program(t, "renest"))
	home := nobodysFolder(t)
	files, err := b.Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(filepath.Join(filepath.Dir(b.Testdata), file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(home, filepath.Dir(file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(home, file), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), b.Path, flags(15*time.Minute)...)
	cmd.Dir = home
	cmd.Env = append(os.Environ(),
		require.Variable+"=user", programsVariable+"="+programs, "HOME="+home, "TMPDIR="+home, "XDG_RUNTIME_DIR="+home)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	err = cmd.Run()
	return output.String(), err
}

// nobodysFolder makes a folder that belongs to the ordinary user.
func nobodysFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(builds.dir, "home-") //nolint:usetesting // t.TempDir lies where only root gets to
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	return dir
}
