//go:build linux && (amd64 || arm64)

package restore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/restore"
)

// TestExplain gives every error one remedy, however many would have one for it.
func TestExplain(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{unix.EPERM, "restore as root, outside a chroot"},
		{restore.ExplainSetting(unix.EPERM), "or Linux 6.10: restore as root"},
		{fmt.Errorf("step 1: %w", restore.ExplainSetting(unix.EACCES)), "or Linux 6.10: restore as root"},
		{restore.Explain(unix.ENOSPC), "a limit is exhausted"},
		{unix.EMFILE, "raise the limit of open files"},
	} {
		got := restore.Explain(tt.err)
		wantError(t, got, tt.want)
		if n := strings.Count(got.Error(), "restore as root") + strings.Count(got.Error(), "raise "); n != 1 {
			t.Errorf("%d remedies: %v", n, got)
		}
		if !errors.Is(got, tt.err) {
			t.Errorf("%v is not %v any more", got, tt.err)
		}
	}
	if got := restore.Explain(unix.ENOENT); got != error(unix.ENOENT) {
		t.Errorf("got %v", got)
	}
}
