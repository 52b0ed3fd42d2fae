//go:build linux

package criu

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCreate wants nothing waited for or followed where a file is to be written.
func TestCreate(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	err := os.WriteFile(at("full"), []byte("long"), 0o600)
	for _, name := range []string{"pipe", "read"} {
		if err == nil {
			err = unix.Mkfifo(at(name), 0o600)
		}
	}
	if err == nil {
		err = os.Symlink("full", at("link"))
	}
	if err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(at("read"), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for name, good := range map[string]bool{"new": true, "full": true, "pipe": false, "read": false, "link": false} {
		if err := createWith(at(name), []byte("x")); (err == nil) != good {
			t.Errorf("%s: %v", name, err)
		}
	}
	if text, err := os.ReadFile(at("full")); err != nil || string(text) != "x" {
		t.Errorf("%q, %v", text, err)
	}
}
