package vm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Machine is a kind of VM.
type Machine struct {
	Suite string // of Debian, to take the kernel from
	Arch  string // as Go and Debian name it
}

// The machines that the tests run on.
var (
	// Stable has Linux 6.12: ns ids by inode number only, no listns(2).
	Stable = Machine{"trixie", "amd64"}
	// Backports has Linux 7.x: listns(2), fixed initial ids.
	Backports = Machine{"trixie-backports", "amd64"}
	// ARM64 has the same Linux on another processor.
	ARM64 = Machine{"trixie-backports", "arm64"}
)

// Machines lists every machine the tests run on.
func Machines() []Machine { return []Machine{Stable, Backports, ARM64} }

// String names the machine.
func (m Machine) String() string {
	if m.Arch == "amd64" {
		return m.Suite
	}
	return m.Suite + "-" + m.Arch
}

// Kernel is a kernel that can be booted.
type Kernel struct {
	Machine Machine
	Release string // as uname -r
	Image   string // path of vmlinuz on the host
	Modules string // folder of the modules that a VM loads
	Busybox string // path of a static busybox for the machine
}

// ErrNoKernel says that a kernel has not been fetched.
var ErrNoKernel = errors.New("no kernel in the cache; fetch it with: go run ./test/vm/fetch")

// Find returns the kernel of machine m that Fetch has put into the cache.
func Find(m Machine) (Kernel, error) {
	dir, err := cacheDir(m)
	if err != nil {
		return Kernel{}, err
	}
	release, err := os.ReadFile(filepath.Join(dir, "release"))
	if errors.Is(err, fs.ErrNotExist) {
		return Kernel{}, fmt.Errorf("%s: %w", m, ErrNoKernel)
	}
	if err != nil {
		return Kernel{}, fmt.Errorf("kernel of %s: %w", m, err)
	}
	k := Kernel{
		Machine: m,
		Release: strings.TrimSpace(string(release)),
		Image:   filepath.Join(dir, "vmlinuz"),
		Modules: filepath.Join(dir, "modules"),
		Busybox: filepath.Join(dir, "busybox"),
	}
	if _, err := os.Stat(k.Busybox); err != nil || !haveModules(k.Modules) { // fetched when less was
		return Kernel{}, fmt.Errorf("%s: %w", m, ErrNoKernel)
	}
	return k, nil
}

// cacheDir is where the kernel of machine m is kept: outside the repository, so
// that a clean checkout need not fetch it again.
func cacheDir(m Machine) (string, error) {
	cache, err := os.UserCacheDir() // $XDG_CACHE_HOME, or ~/.cache
	if err != nil {
		return "", fmt.Errorf("cache of kernels: %w", err)
	}
	return filepath.Join(cache, "renest", "kernels", m.String()), nil
}
