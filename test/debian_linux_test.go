package test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/renest/renest/test/debian"
	"github.com/renest/renest/test/require"
)

// TestDebian installs the package in a fresh container of Debian, by what is there,
// and uses it as who has just installed it does, at a terminal.
func TestDebian(t *testing.T) {
	require.Root(t)
	system, err := debian.FindSystem()
	require.That(t, "debian", err)
	deb := buildPackages(t)["deb"]
	c := startDebian(t, system)
	c.copy(t, deb, "/renest.deb")
	c.copy(t, writeFile(t, "autoload -Uz compinit && compinit -u\n"), "/root/.zshrc")

	c.run(t, "dpkg", "--install", "/renest.deb")
	if out := c.run(t, "dpkg-query", "--show", "--showformat=${db:Status-Status} ${Version}", "renest"); out != "installed 1.2.3" {
		t.Errorf("dpkg-query: %s", out)
	}
	if out := c.run(t, "dpkg", "--verify", "renest"); out != "" {
		t.Errorf("dpkg --verify: %s", out)
	}
	t.Run("man", func(t *testing.T) {
		y := onTerminal(t, "nsenter", c.enter("man", "renest")...)
		y.sees("checkpoint and restore nested Linux namespaces")
		y.types("q")
	})
	for shell, args := range map[string][]string{"bash": {"--login", "-i"}, "zsh": {"-i"}, "fish": {"-i"}} {
		t.Run(shell, func(t *testing.T) {
			y := onTerminal(t, "nsenter", c.enter(append([]string{shell}, args...)...)...)
			testCompleting(t, y)
		})
	}
	for user, as := range map[string][]string{
		"root":   nil,
		"nobody": {"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "HOME=/tmp"},
	} {
		t.Run("demo as "+user, func(t *testing.T) {
			out := c.run(t, append(as, "renest", "demo")...)
			if !strings.HasSuffix(out, "\nisomorphic\n") {
				t.Errorf("renest demo: %s", out)
			}
		})
	}
	c.run(t, "dpkg", "--purge", "renest")
	if out := c.run(t, "find", "/", "-xdev", "-name", "*renest*", "-not", "-path", "/renest.deb"); out != "" {
		t.Errorf("a purge leaves %s", out)
	}
}

// testCompleting has a shell complete command lines, and runs what it makes of them.
func testCompleting(t *testing.T, y *typist) {
	t.Helper()
	const prompt = "# "
	y.sees(prompt)
	for _, step := range []struct{ types, sees string }{
		{"renest sch\t", "schema"},
		{"li\t", "list"},
		{"\r", `"title": "renest list --json"`},
		{"", prompt},
		{"renest tree --col\t", "color"},
		{"nev\t", "never"},
		{"--form\t", "format"},
		{"merm\t", "mermaid"},
		{"\r", "flowchart"},
		{"", prompt},
		{"renest why us\t", "user:"},
		{"\r", ", active"},
		{"", prompt}, // what is there now
		{"renest enter self/net -- hostn\t", "hostname"},
		{"\r", "debian"},
		{"", prompt},
	} {
		y.types(step.types)
		y.sees(step.sees)
	}
	y.types("exit\r")
}

// debianContainer is a Debian system that runs, in namespaces of its own.
type debianContainer struct{ pid, root string }

// startDebian unpacks a system and starts it, until the test ends.
func startDebian(t *testing.T, system string) debianContainer {
	t.Helper()
	require.Command(t, "unshare", "util-linux")
	require.Command(t, "nsenter", "util-linux")
	root := t.TempDir()
	// What is unpacked goes with the mount namespace.
	const start = `set -e
		mount -t tmpfs -o mode=755 system "$1"
		tar -C "$1" --numeric-owner -xpf "$2"
		cd "$1"
		mount -t proc proc proc
		mount -t sysfs sysfs sys
		mount --rbind /dev dev
		mount -t tmpfs run run
		hostname debian
		pivot_root . mnt # in a chroot there are no user namespaces
		umount -l mnt
		echo started
		exec sleep 1000`
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child",
		"sh", "-c", start, "sh", root, system)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := out.Read(make([]byte, 100)); err != nil {
		t.Fatalf("the container does not start: %v", err)
	}
	// The only child of unshare's is its init.
	pid := strconv.Itoa(cmd.Process.Pid)
	children, err := os.ReadFile(filepath.Join("/proc", pid, "task", pid, "children"))
	if err != nil {
		t.Fatal(err)
	}
	return debianContainer{strings.TrimSpace(string(children)), root}
}

// enter returns the arguments with which nsenter runs a program in the container.
func (c debianContainer) enter(args ...string) []string {
	return append([]string{
		"--target=" + c.pid, "--mount", "--pid", "--uts", "--ipc",
		"env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TERM=xterm", "LC_ALL=C.UTF-8",
	}, args...)
}

// run runs a program in the container and returns what it prints.
func (c debianContainer) run(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "nsenter", c.enter(args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// copy copies a file into the container.
func (c debianContainer) copy(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	cmd := exec.CommandContext(t.Context(), "nsenter", c.enter("dd", "status=none", "of="+to)...)
	cmd.Stdin = in
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("copy %s: %v\n%s", from, err, out)
	}
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
