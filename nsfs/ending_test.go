//go:build linux

package nsfs

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"testing"
)

// TestEndingTask follows the links of tasks while they end. Of one that is gone the
// kernel says that they may not be followed, which is not so.
func TestEndingTask(t *testing.T) {
	p := testProc(t)
	denied := func(err error) {
		if errors.Is(err, ErrDenied) {
			t.Error(err)
		}
	}
	for range 300 {
		pid, err := syscall.ForkExec("/proc/self/exe", []string{"child"}, &syscall.ProcAttr{
			Env: append(os.Environ(), "NSFS_TEST_CHILD=end"),
		})
		if err != nil {
			t.Fatal(err)
		}
		task, err := p.Task(pid)
		if err != nil {
			t.Fatal(err)
		}
		var done sync.WaitGroup
		done.Go(func() {
			for task.Status(new(Status)) == nil {
				for l := range Link(NumLinks) {
					_, err := task.Ref(l)
					denied(err)
					ns, err := task.Open(l)
					denied(err)
					if err == nil {
						ns.Close()
					}
					_, err = task.Handle(l)
					denied(err)
				}
				var refs Refs
				task.Refs(&refs)
				for _, r := range refs {
					denied(r.Err)
				}
			}
		})
		_ = syscall.Kill(pid, syscall.SIGKILL)
		if _, err := syscall.Wait4(pid, nil, 0, nil); err != nil {
			t.Error(err)
		}
		done.Wait()
		task.Close()
	}
}
