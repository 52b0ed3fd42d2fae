package vm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Suite is a Debian suite to take a kernel from.
type Suite string

// The suites whose kernels the tests run on.
const (
	// Stable has Linux 6.12: ns ids by inode number only, no listns(2).
	Stable Suite = "trixie"
	// Backports has Linux 7.x: listns(2), fixed initial ids.
	Backports Suite = "trixie-backports"
)

// Suites lists every suite the tests run on.
func Suites() []Suite { return []Suite{Stable, Backports} }

// Kernel is a kernel that can be booted.
type Kernel struct {
	Suite   Suite
	Release string // as uname -r
	Image   string // path of vmlinuz on the host
	Modules string // folder of the modules that a VM loads
}

// ErrNoKernel says that a kernel has not been fetched.
var ErrNoKernel = errors.New("no kernel in the cache; fetch it with: go run ./test/vm/fetch")

// Find returns the kernel of suite s that Fetch has put into the cache.
func Find(s Suite) (Kernel, error) {
	dir, err := cacheDir(s)
	if err != nil {
		return Kernel{}, err
	}
	release, err := os.ReadFile(filepath.Join(dir, "release"))
	if errors.Is(err, fs.ErrNotExist) {
		return Kernel{}, fmt.Errorf("%s: %w", s, ErrNoKernel)
	}
	if err != nil {
		return Kernel{}, fmt.Errorf("kernel of %s: %w", s, err)
	}
	k := Kernel{s, strings.TrimSpace(string(release)), filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "modules")}
	if !haveModules(k.Modules) { // fetched when there were fewer
		return Kernel{}, fmt.Errorf("%s: %w", s, ErrNoKernel)
	}
	return k, nil
}

// cacheDir is where the kernel of suite s is kept: outside the repository, so
// that a clean checkout need not fetch it again.
func cacheDir(s Suite) (string, error) {
	cache, err := os.UserCacheDir() // $XDG_CACHE_HOME, or ~/.cache
	if err != nil {
		return "", fmt.Errorf("cache of kernels: %w", err)
	}
	return filepath.Join(cache, "renest", "kernels", string(s)), nil
}
