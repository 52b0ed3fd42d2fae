package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// lxkns is the newest version that builds from the module proxy alone.
const lxkns = "github.com/thediveo/lxkns@v0.37.0"

// peers returns lxkns's commands as contenders. Where they cannot be built, as
// without a network, it says so and leaves them out.
func peers(tb testing.TB) []contender {
	tb.Helper()
	dir, err := buildLxkns(tb.TempDir())
	if err != nil {
		tb.Logf("lxkns is left out: %v", err)
		return nil
	}
	return []contender{
		{name: "lxkns-lsuns", run: timed(filepath.Join(dir, "lsuns"), "-d")},
		{name: "lxkns-dumpns", run: timed(filepath.Join(dir, "dumpns"), "-c")},
	}
}

// buildLxkns builds the commands in a copy of the module, since what the module
// cache has is not to be written to.
func buildLxkns(dir string) (string, error) {
	source := filepath.Join(dir, "source")
	if err := os.MkdirAll(source, 0o700); err != nil {
		return "", err
	}
	run := func(in, name string, args ...string) ([]byte, error) {
		cmd := exec.Command(name, args...)
		cmd.Dir = in
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %s", name, err, stderr.String())
		}
		return out, nil
	}
	out, err := run(dir, "go", "mod", "download", "-json", lxkns)
	if err != nil {
		return "", err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return "", err
	}
	if _, err := run(dir, "cp", "-r", "--no-preserve=mode", module.Dir+"/.", source); err != nil {
		return "", err
	}
	_, err = run(source, "go", "build", "-o", dir, "./cmd/lsuns", "./cmd/dumpns")
	return dir, err
}
