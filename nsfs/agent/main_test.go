//go:build linux && (amd64 || arm64)

package agent

import (
	"fmt"
	"os"
	osexec "os/exec"
	"testing"
	"time"
)

// exec returns a command that runs one test of this binary, with env.
func exec(t *testing.T, name, env string) *osexec.Cmd {
	t.Helper()
	cmd := osexec.Command(os.Args[0], "-test.run=^"+name+"$")
	cmd.Env = append(os.Environ(), env)
	return cmd
}

// TestMain fails where a test leaves a descriptor open.
func TestMain(m *testing.M) {
	if r, w, err := os.Pipe(); err == nil { // the runtime's poller keeps two
		_, _ = r.Close(), w.Close()
	}
	before := descriptors()
	code := m.Run()
	for deadline := time.Now().Add(time.Minute); descriptors() > before && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond) // a process that was killed is still being reaped
	}
	if after := descriptors(); code == 0 && after > before {
		fmt.Fprintf(os.Stderr, "%d descriptors before the tests, %d after\n", before, after)
		code = 1
	}
	os.Exit(code)
}

func descriptors() int {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(fds)
}
