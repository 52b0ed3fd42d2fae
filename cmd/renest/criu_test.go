package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// A folder that a dump has made is not left where nothing got into it.
func TestCRIUDumpLeavesNoFolder(t *testing.T) {
	there := t.TempDir()
	made := filepath.Join(there, "made")
	for _, dir := range []string{made, there} {
		got := renest(t, nil, "criu", "dump", "--criu", "/nonexistent", "-t", strconv.Itoa(os.Getpid()), "-D", dir)
		if got.Code != 1 {
			t.Fatal(got)
		}
	}
	if _, err := os.Stat(made); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder that was made: %v", err)
	}
	if _, err := os.Stat(there); err != nil {
		t.Errorf("the folder that was there: %v", err)
	}
}

// A CRIU that is killed at once is a failure, no call of the wrong form.
func TestCRIUEnds(t *testing.T) {
	criu := filepath.Join(t.TempDir(), "criu")
	if err := os.WriteFile(criu, []byte("#!/bin/sh\nkill -9 $$\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	got := renest(t, nil, "criu", "dump", "--criu", criu, "-t", strconv.Itoa(os.Getpid()), "-D", t.TempDir())
	if got.Code != 1 {
		t.Error(got)
	}
}
