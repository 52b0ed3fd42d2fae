package test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/renest/renest/test/require"
)

// buildPackages builds the packages, of version 1.2.3, and returns them by their kind.
func buildPackages(t *testing.T) map[string]string {
	t.Helper()
	require.Command(t, "nfpm", "nfpm")
	require.Command(t, "go", "golang")
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "../.ci/package", dir, "1.2.3").CombinedOutput(); err != nil {
		t.Fatalf("package: %v\n%s", err, out)
	}
	made := map[string]string{}
	for _, kind := range []string{"deb", "rpm"} {
		files, err := filepath.Glob(filepath.Join(dir, "*."+kind))
		if err != nil || len(files) != 1 {
			t.Fatal(kind, files, err)
		}
		made[kind] = files[0]
	}
	return made
}

// TestPackages builds the packages, installs the .deb into a directory and uses
// what it brings.
func TestPackages(t *testing.T) {
	require.Root(t)
	dpkg := require.Command(t, "dpkg", "dpkg")
	deb, root := buildPackages(t)["deb"], t.TempDir()
	run := func(name string, args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		return string(out)
	}
	for _, d := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "var/lib/dpkg/status"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	run(dpkg, "--root="+root, "--install", deb)

	program := filepath.Join(root, "usr/bin/renest")
	if out := run(program, "--version"); out != "renest version 1.2.3\n" {
		t.Errorf("renest --version: %s", out)
	}
	if out := run(program, "demo"); !strings.Contains(out, "isomorphic") {
		t.Errorf("renest demo: %s", out)
	}
	page := filepath.Join(root, "usr/share/man/man1/renest.1.gz")
	if out := run("zcat", page); !strings.Contains(out, ".TH renest 1") {
		t.Errorf("the manual page: %.300s", out)
	}
	if man, err := exec.LookPath("man"); err == nil {
		if out := run(man, "--local-file", page); !strings.Contains(out, "checkpoint and restore nested Linux namespaces") {
			t.Errorf("man: %.300s", out)
		}
	}
	script := filepath.Join(root, "usr/share/bash-completion/completions/renest")
	complete := "source " + script + "; COMP_WORDS=(" + program + " tr) COMP_CWORD=1; _renest; echo ${COMPREPLY[@]}"
	if out := run("bash", "-c", complete); !strings.Contains(out, "tree") {
		t.Errorf("completion: %s", out)
	}
}
