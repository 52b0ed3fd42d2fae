//go:build linux && (amd64 || arm64)

package agent

import (
	"encoding/binary"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestLateWake wakes an agent that has nothing to do, as the maker does where it is
// delayed between saying that there is work and waking the agent, and the agent, on
// its way to wait, saw it by itself. It must not do its last program over again.
func TestLateWake(t *testing.T) {
	a := fork(t, start(t).Root(), 0)
	var open Program
	count := open.Call("eventfd2", unix.SYS_EVENTFD2, Int(0), Int(unix.EFD_CLOEXEC|unix.EFD_NONBLOCK))
	run(t, a, &open)

	one := make([]byte, 8)
	binary.NativeEndian.PutUint64(one, 1)
	var write Program
	write.Call("write", unix.SYS_WRITE, Int(count.Value()), Bytes(one), Int(8))
	run(t, a, &write)
	for range 20 {
		wake(&a.slot.state)
		time.Sleep(time.Millisecond) // for the agent to go wrong in
	}

	var read Program
	sum := NewBuffer(8)
	read.Call("read", unix.SYS_READ, Int(count.Value()), Out(sum), Int(8))
	run(t, a, &read)
	if got := binary.NativeEndian.Uint64(sum.Bytes(8)); got != 1 {
		t.Errorf("the program was carried out %d times", got)
	}
}
