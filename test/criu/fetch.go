package criu

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/renest/renest/test/debian"
)

// Fetch brings Debian's newest CRIU into the cache and returns it. The system's own
// apt and its packages stay as they are.
func Fetch(ctx context.Context) (Installation, error) {
	i, err := fetch(ctx)
	if err != nil {
		return Installation{}, fmt.Errorf("fetch CRIU: %w", err)
	}
	return i, nil
}

func fetch(ctx context.Context) (Installation, error) {
	dir, err := cacheDir()
	if err != nil {
		return Installation{}, err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return Installation{}, err
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "fetch-criu-")
	if err != nil {
		return Installation{}, err
	}
	defer os.RemoveAll(work)

	// A release that has come out is often in experimental for months.
	a, err := debian.Open(ctx, work, debian.Source{
		Arch: runtime.GOARCH, Suites: []string{"sid", "experimental"},
		Prefer: "experimental", Of: []string{"criu"}, Stale: true,
	})
	if err != nil {
		return Installation{}, err
	}
	debs, err := a.DownloadAll(ctx, "criu", "libcriu2", "crun", "iproute2")
	if err != nil {
		return Installation{}, err
	}
	tree := filepath.Join(work, "tree")
	for _, deb := range debs {
		if err := unpack(ctx, deb, tree); err != nil {
			return Installation{}, err
		}
	}
	if err := finish(ctx, tree); err != nil {
		return Installation{}, err
	}
	if err := os.RemoveAll(dir); err != nil {
		return Installation{}, err
	}
	if err := os.Rename(tree, dir); err != nil {
		return Installation{}, err
	}
	return Find()
}

// finish writes the scripts that start the programs and, having tried them, the
// version.
func finish(ctx context.Context, tree string) error {
	loaders, err := filepath.Glob(filepath.Join(tree, "lib", "ld-linux*.so.*"))
	if err != nil || len(loaders) != 1 {
		return fmt.Errorf("%d dynamic loaders in the packages: %w", len(loaders), err)
	}
	if err := os.Mkdir(filepath.Join(tree, "bin"), 0o755); err != nil {
		return err
	}
	for _, program := range programs() {
		// The folder is found from the script's own path, so that all of it may
		// be copied elsewhere.
		script := fmt.Sprintf("#!/bin/sh\nlib=${0%%/*}/../lib\n"+
			"exec \"$lib/%s\" --library-path \"$lib\" \"$lib/%s\" \"$@\"\n", filepath.Base(loaders[0]), program)
		if err := os.WriteFile(filepath.Join(tree, "bin", program), []byte(script), 0o755); err != nil {
			return err
		}
	}
	out, err := exec.CommandContext(ctx, filepath.Join(tree, "bin/criu"), "--version").Output()
	if err != nil {
		return fmt.Errorf("criu --version: %w", err)
	}
	line, _, _ := bytes.Cut(out, []byte("\n"))
	version, ok := bytes.CutPrefix(line, []byte("Version: "))
	if !ok {
		return fmt.Errorf("criu --version says %q", line)
	}
	return os.WriteFile(filepath.Join(tree, "version"), append(version, '\n'), 0o644)
}

// programs are CRIU, what it saves addresses and routes with, and who calls it.
func programs() []string { return []string{"criu", "crun", "ip"} }

// unpack puts a package's shared libraries and programs, and nothing else of it,
// into the folder lib of tree.
func unpack(ctx context.Context, deb, tree string) error {
	lib := filepath.Join(tree, "lib")
	if err := os.MkdirAll(lib, 0o755); err != nil {
		return err
	}
	return debian.Unpack(ctx, deb, func(h *tar.Header, r io.Reader) error {
		dir, base := path.Split(strings.TrimPrefix(h.Name, "./"))
		library, _ := path.Match("usr/lib/*-linux-gnu*/", dir)
		program, _ := path.Match("usr/*bin/", dir)
		switch {
		case library && strings.Contains(base, ".so"):
		case program && slices.Contains(programs(), base):
		default:
			return nil
		}
		switch h.Typeflag {
		case tar.TypeReg:
			return write(filepath.Join(lib, base), r)
		case tar.TypeSymlink:
			if path.Base(h.Linkname) != h.Linkname {
				return nil // into another folder
			}
			return os.Symlink(h.Linkname, filepath.Join(lib, base))
		}
		return nil
	})
}

func write(name string, r io.Reader) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
