package restore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
)

// readObstacles looks for what stands in the way of any restore.
func (h *Host) readObstacles() {
	add := func(format string, args ...any) { h.Obstacles = append(h.Obstacles, fmt.Errorf(format, args...)) }
	// Both refuse these arguments where they are there (EINVAL), so that nothing is done.
	if _, _, errno := unix.Syscall(unix.SYS_CLONE3, 0, 0, 0); errno == unix.ENOSYS {
		add("clone3(2) is not there: this takes Linux 5.9, and a seccomp filter that allows it")
	}
	if err := unix.CloseRange(1, 0, 0); err == unix.ENOSYS {
		add("close_range(2) is not there: this takes Linux 5.9, and a seccomp filter that allows it")
	}
	if n, ok := readNumber("/proc/sys/vm/memfd_noexec"); ok && n >= 2 {
		add("vm.memfd_noexec is %d, and agents are executed from a memfd: sysctl -w vm.memfd_noexec=1", n)
	}
	if chrooted() {
		add("this is a chroot, in which the kernel makes no user namespaces (unshare(2)): restore outside of it")
	}
	if h.Privileged {
		return
	}
	if n, ok := readNumber("/proc/sys/kernel/unprivileged_userns_clone"); ok && n == 0 {
		add("ordinary users may not make user namespaces here: sysctl -w kernel.unprivileged_userns_clone=1, or restore as root")
	}
	if n, ok := readNumber("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"); ok && n != 0 && unconfined() {
		add("AppArmor leaves ordinary users no rights in their user namespaces: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, a profile with userns, or restore as root")
	}
}

// chrooted reports whether the root directory is no mount's root, as it mostly is
// in a chroot (current_chrooted, fs/namespace.c).
func chrooted() bool {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, "/", 0, 0, &st)
	return err == nil && st.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT != 0 && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0
}

// unconfined reports whether AppArmor has no profile for this process.
func unconfined() bool {
	for _, file := range []string{"/proc/self/attr/apparmor/current", "/proc/self/attr/current"} {
		if text, err := os.ReadFile(file); err == nil {
			return strings.HasPrefix(string(text), "unconfined")
		}
	}
	return true
}

// Try makes a user namespace, and a UTS namespace in it, and lets both go at once:
// a security module or a seccomp filter that forbids it is found by nothing else.
// The outcome is among h.Obstacles; an error is trouble with agents, or ctx's. It
// costs some milliseconds, and is of use for ordinary users and in containers.
func (h *Host) Try(ctx context.Context) error {
	if len(h.Obstacles) > 0 {
		return nil // they are what it would come upon
	}
	proc, err := nsfs.OpenProc()
	if err != nil {
		return err
	}
	defer proc.Close()
	dir, err := duplicate(proc.FD(), "proc")
	if err != nil {
		return err
	}
	defer dir.Close()
	crew, err := agent.Start(ctx, agent.Options{Proc: dir, Name: "renest: trial"})
	if err != nil {
		return err
	}
	return errors.Join(h.try(ctx, crew.Root()), crew.Close())
}

// try has children of a look, which end by themselves whatever becomes of their maker.
func (h *Host) try(ctx context.Context, a *agent.Agent) error {
	var p, child agent.Program
	other := child.Call("make another namespace in one's own user namespace", unix.SYS_UNSHARE, agent.Int(unix.CLONE_NEWUTS))
	user := p.Spawn(a.Crew(), "make a user namespace", agent.ForkOptions{Flags: unix.CLONE_NEWUSER}, &child).MayFail()
	if err := a.Run(ctx, &p); err != nil {
		return err
	}
	for _, c := range []*agent.Call{user, other} {
		if err := c.Err(); err != nil {
			h.Obstacles = append(h.Obstacles, explain(fmt.Errorf("tried beforehand: %w", err)))
			return nil
		}
	}
	return nil
}
