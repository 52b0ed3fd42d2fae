//go:build linux

package nsfs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/test/require"
)

// TestBindsNone asks of a mount namespace that has no bind mount of a namespace,
// then has one, and then has its only task in a directory that does not show it.
func TestBindsNone(t *testing.T) {
	require.Root(t)
	p := testProc(t)
	self, err := p.Self()
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	if root, err := self.MountPoint("rootfs"); err != nil || root == "/" { // of an initramfs
		require.That(t, "mounted-root", errors.Join(errors.New("the root directory is the one below all mounts"), err))
	}
	if err := HaveMountList(p); err != nil {
		require.That(t, "statmount", err)
	}
	dir := t.TempDir()
	jail, file := filepath.Join(dir, "jail"), filepath.Join(dir, "file")
	if err := errors.Join(os.Mkdir(jail, 0o700), os.WriteFile(file, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	<-onThread(func() {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			t.Error(err)
			return
		}
		task, err := self.Thread(unix.Gettid())
		if err != nil {
			t.Error(err)
			return
		}
		defer task.Close()
		if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
			t.Error(err)
			return
		}
		none := func() (bool, int) {
			ns, err := task.Open(InMnt)
			if err != nil {
				t.Error(err)
				return false, 0
			}
			defer ns.Close()
			m, err := ns.Mounts()
			if err != nil || m.ID == 0 {
				t.Errorf("%+v, %v", m, err)
			}
			var binds int
			if _, err := task.Binds(func(Bind) { binds++ }); err != nil {
				t.Error(err)
			}
			return m.BindsNone(), binds
		}
		for range 1000 { // what the host has
			var path string
			_, _ = task.Binds(func(b Bind) { path = b.Path })
			if path == "" {
				break
			}
			_ = unix.Unmount(path, unix.MNT_DETACH)
		}
		if ok, binds := none(); !ok || binds > 0 {
			t.Errorf("without any: %t, mountinfo shows %d", ok, binds)
		}
		if err := unix.Mount("/proc/thread-self/ns/uts", file, "", unix.MS_BIND, ""); err != nil {
			t.Error(err)
			return
		}
		if ok, binds := none(); ok || binds != 1 {
			t.Errorf("with one: %t, mountinfo shows %d", ok, binds)
		}
		if err := errors.Join(unix.Unshare(unix.CLONE_FS), unix.Chroot(jail)); err != nil {
			t.Error(err)
			return
		}
		if ok, binds := none(); ok || binds != 0 {
			t.Errorf("with one out of the task's sight: %t, mountinfo shows %d", ok, binds)
		}
	})
}
