package criu

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/renest/renest/test/require"
	"github.com/renest/renest/test/vm"
)

// ErrNone says that CRIU has not been fetched.
var ErrNone = errors.New("no CRIU in the cache; fetch it with: go run ./test/criu/fetch")

// Installation is a CRIU that can be run.
type Installation struct {
	Dir     string // nothing outside of it is needed but /bin/sh
	Version string // 4.3
}

// Bin is a folder with the programs criu, crun and ip and nothing else, to be put
// first in PATH.
func (i Installation) Bin() string { return filepath.Join(i.Dir, "bin") }

// Path is the program criu.
func (i Installation) Path() string { return filepath.Join(i.Bin(), "criu") }

// Libraries is the folder of the shared libraries, of which crun, too, loads one.
func (i Installation) Libraries() string { return filepath.Join(i.Dir, "lib") }

// Find returns the CRIU that Fetch has put into the cache, or that which Variable
// names.
func Find() (Installation, error) {
	dir, err := cacheDir()
	if named := os.Getenv(Variable); named != "" {
		dir, err = named, nil
	}
	if err != nil {
		return Installation{}, err
	}
	version, err := os.ReadFile(filepath.Join(dir, "version"))
	if errors.Is(err, fs.ErrNotExist) {
		return Installation{}, ErrNone
	}
	if err != nil {
		return Installation{}, fmt.Errorf("find CRIU: %w", err)
	}
	i := Installation{dir, strings.TrimSpace(string(version))}
	for _, name := range programs() {
		if _, err := os.Stat(filepath.Join(i.Bin(), name)); err != nil {
			return Installation{}, ErrNone // of a time when it had less
		}
	}
	return i, nil
}

// Require requires a CRIU and the superuser, without whom it does nothing of use, and
// has its programs found first until the test ends: CRIU looks for ip in PATH.
func Require(t testing.TB) Installation {
	t.Helper()
	require.Root(t)
	i, err := Find()
	require.That(t, "criu", err)
	t.Setenv("PATH", i.Bin()+":"+os.Getenv("PATH"))
	return i
}

// Variable is the environment variable that names the folder of an Installation,
// for tests in a VM.
const Variable = "RENEST_CRIU"

// Files lists the installation for a VM, where it is to be in dir.
func (i Installation) Files(dir string) ([]vm.File, error) {
	var files []vm.File
	err := filepath.WalkDir(i.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(i.Dir, path)
		if err != nil {
			return err
		}
		f := vm.File{Path: filepath.Join(dir, rel)}
		if d.Type() == fs.ModeSymlink {
			f.Link, err = os.Readlink(path)
		} else {
			f.Host = path
		}
		files = append(files, f)
		return err
	})
	return files, err
}

// cacheDir is where CRIU is kept: outside the repository, so that a clean checkout
// need not fetch it again.
func cacheDir() (string, error) {
	cache, err := os.UserCacheDir() // $XDG_CACHE_HOME, or ~/.cache
	if err != nil {
		return "", fmt.Errorf("cache of CRIU: %w", err)
	}
	return filepath.Join(cache, "renest", "criu"), nil
}
