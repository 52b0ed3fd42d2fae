//go:build linux && (amd64 || arm64)

package agent

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// TestProtect has the root of a user namespace trace an agent that comes in: it can,
// unless that is protected.
func TestProtect(t *testing.T) {
	c := start(t)
	inmate := fork(t, c.Root(), unix.CLONE_NEWUSER)
	var open Program
	user := open.Call("open user", unix.SYS_OPENAT, Int(inmate.Dir()), String("ns/user"), Int(unix.O_RDONLY|unix.O_CLOEXEC))
	run(t, inmate, &open)
	for _, protected := range []bool{false, true} {
		visitor := fork(t, c.Root(), 0)
		if protected {
			if err := visitor.Protect(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		var enter, undo Program
		enter.Call("setns", unix.SYS_SETNS, Int(user.Value()), Int(unix.CLONE_NEWUSER))
		if !protected { // as where the namespace's creator is who enters
			enter.Expose()
		}
		run(t, visitor, &enter)
		const seize, detach = 0x4206, 17 // PTRACE_SEIZE, PTRACE_DETACH
		var attack Program
		call := attack.Call("ptrace", unix.SYS_PTRACE, Int(seize), Int(visitor.PID()), Int(0), Int(0)).MayFail()
		run(t, inmate, &attack)
		if protected != errors.Is(call.Err(), unix.EPERM) {
			t.Errorf("protected %v: ptrace says %v", protected, call.Err())
		}
		if call.Err() == nil {
			undo.Call("interrupt", unix.SYS_PTRACE, Int(0x4207), Int(visitor.PID()), Int(0), Int(0))
			undo.Call("wait", unix.SYS_WAIT4, Int(visitor.PID()), Int(0), Int(unix.WALL), Int(0))
			undo.Call("detach", unix.SYS_PTRACE, Int(detach), Int(visitor.PID()), Int(0), Int(0))
			run(t, inmate, &undo)
		}
	}
}
