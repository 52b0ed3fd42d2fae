package debian

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// ErrNone says that no system has been made.
var ErrNone = errors.New("no Debian system in the cache; make one with: go run ./test/debian/fetch")

// Stable is the suite of which a system is made.
const Stable = "trixie"

// extra is what a system has beside what every Debian system has: what is to take up
// a package's manual page and completion.
const extra = "bash-completion,less,man-db,zsh,fish"

// FindSystem returns the system that MakeSystem has put into the cache, a tar archive
// of all its files.
func FindSystem() (string, error) {
	file, err := systemFile()
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return "", ErrNone
	}
	return file, err
}

// MakeSystem installs a small Debian system and puts it into the cache. It needs root
// and mmdebstrap.
func MakeSystem(ctx context.Context) (string, error) {
	file, err := makeSystem(ctx)
	if err != nil {
		return "", fmt.Errorf("make a Debian system: %w", err)
	}
	return file, nil
}

func makeSystem(ctx context.Context) (string, error) {
	file, err := systemFile()
	if err != nil {
		return "", err
	}
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		return "", fmt.Errorf("%w (Debian package mmdebstrap)", err)
	}
	if err := haveTools(); err != nil {
		return "", err
	}
	mirror, err := findMirror(ctx)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(filepath.Dir(file), "make-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	made := filepath.Join(work, "system.tar")
	if _, err := command(ctx, work, "mmdebstrap", "--quiet", "--variant=minbase", "--include="+extra,
		"--keyring="+keyring, "--dpkgopt=force-unsafe-io", Stable, made, mirror); err != nil {
		return "", err
	}
	return file, os.Rename(made, file)
}

// systemFile is where the system is kept.
func systemFile() (string, error) {
	cache, err := os.UserCacheDir() // $XDG_CACHE_HOME, or ~/.cache
	if err != nil {
		return "", fmt.Errorf("cache of Debian systems: %w", err)
	}
	return filepath.Join(cache, "renest", "debian", Stable+".tar"), nil
}
