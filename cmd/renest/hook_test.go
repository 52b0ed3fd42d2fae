package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/renest/renest/dump"
)

// A configuration that was there is as it was after --install and --remove.
func TestHookInstall(t *testing.T) {
	etc := t.TempDir()
	conf := filepath.Join(etc, "criu/runc.conf")
	const own = "tcp-established\n# mine\n"
	if err := os.MkdirAll(filepath.Dir(conf), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		data, _ := os.ReadFile(filepath.Join(etc, name))
		return string(data)
	}
	ours := hookBegin + "\naction-script " + self + "\n" + hookEnd + "\n"
	for range 2 { // twice is as once
		if got := renest(t, nil, "hook", "--install", "--etc", etc, "--mode", "warn"); got.Code != 0 {
			t.Fatal(got)
		}
		if got := read("criu/runc.conf"); got != own+ours {
			t.Errorf("runc.conf: %q", got)
		}
		if got := read("criu/crun.conf"); got != ours {
			t.Errorf("crun.conf: %q", got)
		}
	}
	if mode, err := parseHookConfig([]byte(read("renest/hook.conf"))); err != nil || mode != dump.Warn {
		t.Errorf("hook.conf: %v, %v", mode, err)
	}
	if got := renest(t, nil, "hook", "--remove", "--etc", etc); got.Code != 0 {
		t.Fatal(got)
	}
	if got := read("criu/runc.conf"); got != own {
		t.Errorf("runc.conf after --remove: %q", got)
	}
	for _, name := range []string{"criu/crun.conf", "renest"} {
		if _, err := os.Stat(filepath.Join(etc, name)); err == nil {
			t.Errorf("%s is there after --remove", name)
		}
	}
}

// What --install has made is gone after --remove, and a link to a folder is nothing that it
// has made.
func TestHookRemove(t *testing.T) {
	etc := t.TempDir()
	if err := os.Mkdir(filepath.Join(etc, "elsewhere"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("elsewhere", filepath.Join(etc, "renest")); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"--install"}, {"--remove"}, {"--remove"}} {
		if got := renest(t, nil, append([]string{"hook", "--etc", etc}, args...)...); got.Code != 0 {
			t.Fatal(got)
		}
	}
	left, err := filepath.Glob(filepath.Join(etc, "*"))
	if want := []string{filepath.Join(etc, "elsewhere"), filepath.Join(etc, "renest")}; err != nil || !slices.Equal(left, want) {
		t.Errorf("left: %v, %v", left, err)
	}
}

// A link is followed, to a file alone.
func TestHookInstallLink(t *testing.T) {
	etc := t.TempDir()
	if err := os.Mkdir(filepath.Join(etc, "criu"), 0o755); err != nil {
		t.Fatal(err)
	}
	conf, kept := filepath.Join(etc, "criu/runc.conf"), filepath.Join(etc, "kept.conf")
	if err := os.WriteFile(kept, []byte("# mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../kept.conf", conf); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"--install", "--for", "runc"}, {"--remove"}} {
		if got := renest(t, nil, append([]string{"hook", "--etc", etc}, args...)...); got.Code != 0 {
			t.Fatal(got)
		}
		data, err := os.ReadFile(kept)
		if ours := strings.Contains(string(data), hookBegin); err != nil || ours != (args[0] == "--install") {
			t.Errorf("%s: %v, %q", args[0], err, data)
		}
		if to, err := os.Readlink(conf); err != nil || to != "../kept.conf" {
			t.Errorf("%s: %v, the link leads to %q", args[0], err, to)
		}
	}
	if err := os.Remove(kept); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(kept, 0o700); err != nil {
		t.Fatal(err)
	}
	if got := renest(t, nil, "hook", "--etc", etc, "--install"); got.Code != 1 || !strings.Contains(got.Stderr, "is not a file") {
		t.Error(got)
	}
}

func TestInstallable(t *testing.T) {
	for program, want := range map[string]bool{
		"/usr/local/bin/renest": true, "/srv/a b/renest": false, "/srv/exe/renest": true,
		"/tmp/go-build123/b001/exe/renest": false, "/tmp/go-build123/b001/renest.test": true,
	} {
		if err := installable(program); (err == nil) != want {
			t.Errorf("%s: %v", program, err)
		}
	}
}

func TestParseHookConfig(t *testing.T) {
	for _, test := range []struct {
		text string
		want dump.Mode
		ok   bool
	}{
		{"", dump.Enforce, true},
		{"# all is well\n\n mode = warn # for now\n", dump.Warn, true},
		{"mode=off", dump.Off, true},
		{"mode = maybe", dump.Enforce, false},
		{"mod = warn", dump.Enforce, false},
		{"warn", dump.Enforce, false},
		{"mode = warn\r\n", dump.Warn, true},
		{"mode = off\nmode = warn", dump.Warn, true},
		{"\n\nmode = \"warn\"", dump.Enforce, false},
		{strings.Repeat("x", 100_000), dump.Enforce, false},
	} {
		got, err := parseHookConfig([]byte(test.text))
		if got != test.want || (err == nil) != test.ok {
			t.Errorf("%q: %v, %v", test.text, got, err)
		}
		if err != nil && len(err.Error()) > 200 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
	}
}
