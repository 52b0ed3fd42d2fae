//go:build linux && (amd64 || arm64)

package agent

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestStartLow starts agents where few files may be open.
func TestStartLow(t *testing.T) {
	var usual unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &usual); err != nil {
		t.Fatal(err)
	}
	low := usual
	low.Cur = 40
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &usual); err != nil {
			t.Error(err)
		}
	}()
	a, err := start(t).Root().Fork(t.Context(), "fork", ForkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Exit(t.Context()); err != nil {
		t.Error(err)
	}
}
