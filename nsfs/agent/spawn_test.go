//go:build linux && (amd64 || arm64)

package agent

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSpawn has children see that they are others than the agent, that one ends at
// its first failure, and that the agent goes on after each.
func TestSpawn(t *testing.T) {
	c := start(t)
	a := fork(t, c.Root(), unix.CLONE_NEWUSER|unix.CLONE_NEWPID)
	var p, first, second Program
	before := p.Call("getpid", unix.SYS_GETPID)
	first.Call("a call with a result of before", unix.SYS_GETPGID, before.Ret())
	parent := first.Call("getppid", unix.SYS_GETPPID)
	firstPID := first.Call("getpid", unix.SYS_GETPID)
	first.Call("exit after it", unix.SYS_GETPID)
	p.Spawn(c, "spawn", ForkOptions{SetTID: []int{77}}, &first)
	between := p.Call("getpid", unix.SYS_GETPID)
	allowed := second.Call("close nothing", unix.SYS_CLOSE, Int(-1)).MayFail()
	failed := second.Call("close nothing", unix.SYS_CLOSE, Int(-1))
	never := second.Call("getpid", unix.SYS_GETPID)
	spawned := p.Spawn(c, "spawn", ForkOptions{}, &second)
	p.Spawn(c, "spawn", ForkOptions{}, &Program{})
	taken := p.Spawn(c, "spawn", ForkOptions{SetTID: []int{1}}, &Program{}).MayFail()
	after := p.Call("getpid", unix.SYS_GETPID)
	run(t, a, &p)
	for _, x := range []struct {
		what      string
		got, want int
	}{
		{"the agent's pid", before.Value(), 1},
		{"parent of the first child", parent.Value(), 1},
		{"pid of the first child", firstPID.Value(), 77},
		{"the agent's pid between", between.Value(), 1},
		{"pid of the second child", spawned.Value(), 2},
		{"a call behind a failure", never.Value(), 0},
		{"the agent's pid at the end", after.Value(), 1},
	} {
		if x.got != x.want {
			t.Errorf("%s is %d, want %d", x.what, x.got, x.want)
		}
	}
	for what, err := range map[string]error{"allowed": allowed.Err(), "failed": failed.Err()} {
		if !errors.Is(err, unix.EBADF) {
			t.Errorf("%s: %v, want EBADF", what, err)
		}
	}
	if !errors.Is(taken.Err(), unix.EEXIST) {
		t.Errorf("a number in use: %v, want EEXIST", taken.Err())
	}
}

func TestBufferOf(t *testing.T) {
	root := start(t).Root()
	var p Program
	// An interface request: the name goes in, and the flags come out.
	request := NewBufferOf(append([]byte("lo"), make([]byte, 38)...))
	sock := p.Call("socket", unix.SYS_SOCKET, Int(unix.AF_UNIX), Int(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC), Int(0))
	p.Call("ioctl", unix.SYS_IOCTL, sock.Ret(), Int(unix.SIOCGIFFLAGS), Out(request))
	p.Call("close", unix.SYS_CLOSE, sock.Ret())
	run(t, root, &p)
	if b := request.Bytes(40); string(b[:3]) != "lo\x00" || b[16]&unix.IFF_LOOPBACK == 0 {
		t.Errorf("lo has the flags %x", b[:18])
	}
}

func BenchmarkSpawn(b *testing.B) {
	c := start(b)
	var p Program
	for range b.N {
		var child Program
		child.Call("getpid", unix.SYS_GETPID)
		p.Spawn(c, "spawn", ForkOptions{}, &child)
		if p.Len() >= 200 {
			run(b, c.Root(), &p)
			p = Program{}
		}
	}
	run(b, c.Root(), &p)
}
