//go:build amd64 || arm64

package agent

import (
	"context"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// statSize is that of struct stat, whose second field is the inode number on amd64
// and arm64.
const statSize = 144

// Inode is the inode number of a descriptor, to be asked for by a program.
type Inode struct{ buf *Buffer }

// Inode adds an fstat(2) of fd, which may fail.
func (p *Program) Inode(fd Arg) Inode {
	i := Inode{NewBufferOf(make([]byte, statSize))}
	p.Call("fstat", unix.SYS_FSTAT, fd, Out(i.buf)).MayFail()
	return i
}

// Number returns the number, once the program ran, and 0 where there is none.
func (i Inode) Number() uint64 {
	b := i.buf.Bytes(statSize)
	if len(b) < statSize {
		return 0
	}
	return binary.NativeEndian.Uint64(b[8:])
}

// OwnPIDMax reports whether every pid namespace has a pid_max of its own, as from
// Linux 6.14 on; before, to set it in one is to set it for all. Where it is its own,
// it is another file for a process of another namespace (pid_table_root_lookup,
// kernel/pid_namespace.c), so a makes a child in a new one to look. Where it cannot,
// nor in a user namespace of its own, the answer is no.
func (a *Agent) OwnPIDMax(ctx context.Context) (bool, error) {
	var p Program
	look := func(p *Program) (*Call, Inode) {
		fd := p.Call("open pid_max", unix.SYS_OPENAT, Int(ProcFD), String("sys/kernel/pid_max"), Int(unix.O_RDONLY|unix.O_CLOEXEC)).MayFail()
		return fd, p.Inode(fd.Ret())
	}
	// It is open all the while, so that its number cannot become another's.
	fd, outside := look(&p)
	var inside [2]Inode
	for i, flags := range []uint64{unix.CLONE_NEWPID, unix.CLONE_NEWPID | unix.CLONE_NEWUSER} {
		var child Program
		var fd *Call
		fd, inside[i] = look(&child)
		child.Call("close", unix.SYS_CLOSE, fd.Ret()).MayFail()
		p.Spawn(a.crew, "spawn", ForkOptions{Flags: flags}, &child).MayFail()
	}
	p.Call("close", unix.SYS_CLOSE, fd.Ret()).MayFail()
	if err := a.Run(ctx, &p); err != nil {
		return false, err
	}
	for _, i := range inside {
		if n := i.Number(); n != 0 {
			return n != outside.Number() && outside.Number() != 0, nil
		}
	}
	return false, nil
}
