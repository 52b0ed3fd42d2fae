//go:build linux && (amd64 || arm64)

package agent

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Program is a chain of system calls for an agent to carry out, one after the
// other up to the first that fails. The zero value is an empty program; one
// program runs once.
type Program struct {
	calls    []*Call
	size     uintptr
	err      error
	part     int
	undo     *Program // of a program of Do
	undoLast bool     // not before the crew is gone
}

// Call is one system call of a program, and its result once it ran.
type Call struct {
	what   string
	part   int
	nr     uintptr
	args   []Arg
	mayErr bool
	index  int
	child  *Agent
	spawn  *Call   // the call of Spawn whose child makes this one
	spawns *shared // of a call of Spawn: where its child ends
	op     *op
	ret    int64
}

// Arg is an argument of a call.
type Arg struct {
	lit  uint64
	from *Call          // the result of an earlier call
	data []byte         // a pointer to these bytes
	out  *Buffer        // a pointer to a buffer
	ptrs []ptr          // pointers within data
	late func(b []byte) // fills data when the agent is about to begin
}

// ptr is a pointer that lies at an offset of an argument's data, and points to
// another.
type ptr struct{ at, to int }

// Buffer is memory that a call fills. Its content is there once the program
// ran.
type Buffer struct {
	size int
	off  uintptr
	init []byte
	data []byte
}

// NewBuffer returns a buffer of n bytes.
func NewBuffer(n int) *Buffer { return &Buffer{size: n} }

// NewBufferOf returns a buffer that holds b when the call is made.
func NewBufferOf(b []byte) *Buffer { return &Buffer{size: len(b), init: slices.Clone(b)} }

// Bytes returns the first n bytes of what was written.
func (b *Buffer) Bytes(n int) []byte { return b.data[:min(max(n, 0), len(b.data))] }

// Int is a number, a flag or a descriptor.
func Int[T ~int | ~int32 | ~int64 | ~uint32 | ~uint64 | ~uintptr](v T) Arg {
	return Arg{lit: uint64(v)}
}

// String is a pointer to s, ended by a NUL.
func String(s string) Arg { return Arg{data: append([]byte(s), 0)} }

// Bytes is a pointer to a copy of b.
func Bytes(b []byte) Arg { return Arg{data: append(slices.Clone(b), 0)} }

// Late is a pointer to n bytes, zero but for what fill makes of them at the last
// moment before the agent begins.
func Late(n int, fill func(b []byte)) Arg { return Arg{data: make([]byte, n), late: fill} }

// Strings is a pointer to an array of pointers to the strings of list, ended by
// a null pointer: execve(2)'s argv and envp.
func Strings(list []string) Arg {
	a := Arg{data: make([]byte, 8*(len(list)+1))}
	for i, s := range list {
		a.ptrs = append(a.ptrs, ptr{at: 8 * i, to: len(a.data)})
		a.data = append(append(a.data, s...), 0)
	}
	return a
}

// Out is a pointer to b.
func Out(b *Buffer) Arg { return Arg{out: b} }

// Ret is the result of c, an earlier call of the same program.
func (c *Call) Ret() Arg { return Arg{from: c} }

// Value returns the result of a call that ran, 0 where it failed or did not
// run.
func (c *Call) Value() int { return int(max(c.ret, 0)) }

// Err returns the error of a call that ran.
func (c *Call) Err() error {
	if c.ret >= 0 {
		return nil
	}
	return &CallError{What: c.what, Part: c.part, Errno: unix.Errno(-c.ret)}
}

// MayFail lets the program go on where c fails.
func (c *Call) MayFail() *Call {
	c.mayErr = true
	return c
}

// Call adds a system call. What names it and its object in errors.
func (p *Program) Call(what string, nr uintptr, args ...Arg) *Call {
	c := &Call{what: what, part: p.part, nr: nr, args: args, index: len(p.calls)}
	for _, a := range args {
		if a.data != nil {
			p.size += align(uintptr(len(a.data)))
		}
		if a.out != nil {
			p.size += align(uintptr(a.out.size))
		}
	}
	if len(args) > 6 {
		p.err = fmt.Errorf("%s: more than six arguments", what)
	}
	p.calls = append(p.calls, c)
	return c
}

// Part says of which part of the caller's own work the calls are that are added
// from now on: errors have the number.
func (p *Program) Part(n int) { p.part = n }

// Len returns the number of calls.
func (p *Program) Len() int { return len(p.calls) }

// ForkOptions say what child to make.
type ForkOptions struct {
	Flags  uint64 // CLONE_NEW* and CLONE_INTO_CGROUP
	SetTID []int  // pid numbers, the innermost first (clone3(2), set_tid)
	Cgroup int    // with CLONE_INTO_CGROUP, a descriptor of the agents' table
}

// Fork adds a clone3(2) that makes a child agent, which may be used as soon as
// the program ran without error.
func (p *Program) Fork(crew *Crew, what string, o ForkOptions) *Agent {
	child, err := crew.newAgent()
	if err != nil {
		p.err = err
		return &Agent{crew: crew}
	}
	c := p.Call(what, unix.SYS_CLONE3, o.args(0), Int(cloneArgs))
	c.child = child
	return child
}

// Spawn adds a clone3(2) that makes a child of another kind: one that carries out
// child, up to its first failure, and ends. The program goes on when it has. Such a
// child lives in the agent's own memory (CLONE_VM, CLONE_VFORK), which makes it
// much cheaper than an agent. The errors of its calls are theirs alone, and calls
// that it did not come to have no result.
func (p *Program) Spawn(crew *Crew, what string, o ForkOptions, child *Program) *Call {
	c := p.Call(what, unix.SYS_CLONE3, o.args(unix.CLONE_VM|unix.CLONE_VFORK), Int(cloneArgs))
	c.spawns = crew.shared
	for _, sub := range child.calls {
		if sub.child != nil || sub.spawns != nil {
			p.err = fmt.Errorf("%s: the child of a spawned child", what)
		}
		sub.spawn = c
	}
	p.append(child)
	return c
}

const cloneArgs = 88 // CLONE_ARGS_SIZE_VER2

// args returns a struct clone_args.
func (o *ForkOptions) args(flags uint64) Arg {
	args := make([]byte, cloneArgs+8*len(o.SetTID))
	le := binary.NativeEndian
	le.PutUint64(args[0:], o.Flags|flags|unix.CLONE_FILES)
	le.PutUint64(args[32:], uint64(unix.SIGCHLD))
	arg := Arg{data: args}
	if len(o.SetTID) > 0 {
		arg.ptrs = []ptr{{at: 64, to: cloneArgs}}
		le.PutUint64(args[72:], uint64(len(o.SetTID)))
		for i, tid := range o.SetTID {
			le.PutUint32(args[cloneArgs+4*i:], uint32(tid))
		}
	}
	le.PutUint64(args[80:], uint64(o.Cgroup))
	return arg
}

func align(n uintptr) uintptr { return (n + 7) &^ 7 }

// append adds the calls of q, which is then part of p.
func (p *Program) append(q *Program) {
	for _, c := range q.calls {
		c.index = len(p.calls)
		p.calls = append(p.calls, c)
	}
	p.size += q.size
	p.err = errors.Join(p.err, q.err)
}

// check reports what is wrong with the program.
func (p *Program) check() error {
	for i, c := range p.calls {
		for _, a := range c.args {
			if a.from != nil && (a.from.index >= i || p.calls[a.from.index] != a.from) {
				return fmt.Errorf("%s: an argument is no earlier result of this program", c.what)
			}
		}
	}
	return p.err
}

// load writes the program to the arena at off, to be followed by the record at
// end, or by the one at fail from the first failure on.
func (p *Program) load(a *arena, off uintptr, end, fail uint64) {
	data := off + uintptr(len(p.calls))*opSize
	for i, c := range p.calls {
		c.op = a.opAt(off + uintptr(i)*opSize)
		a.set(c.op, c.nr)
		end, fail := end, fail
		if c.spawn != nil {
			end = addrOf(a, &c.spawn.spawns.exit)
			fail = end
		}
		next := end
		if j := p.following(i); j < len(p.calls) {
			next = addr(off + uintptr(j)*opSize)
		}
		c.op.then(next)
		if !c.mayErr {
			c.op.neg = fail
		}
		if c.spawns != nil {
			c.op.zero = addrOf(a, &c.spawns.exit)
			if i+1 < len(p.calls) && p.calls[i+1].spawn == c {
				c.op.zero = addr(off + uintptr(i+1)*opSize)
			}
		}
		if c.child != nil {
			c.op.zero = c.child.bootAddr()
		}
		for j, arg := range c.args {
			switch {
			case arg.from != nil:
				c.op.arg[j] = addrOf(a, &arg.from.op.ret)
			case arg.data != nil:
				c.op.lit[j] = addr(data)
				if arg.late != nil {
					arg.late(arg.data)
				}
				copy(a.mem[data:], arg.data)
				for _, q := range arg.ptrs {
					binary.NativeEndian.PutUint64(a.mem[data+uintptr(q.at):], addr(data+uintptr(q.to)))
				}
				data += align(uintptr(len(arg.data)))
			case arg.out != nil:
				c.op.lit[j], arg.out.off = addr(data), data
				copy(a.mem[data:], arg.out.init)
				data += align(uintptr(arg.out.size))
			default:
				c.op.lit[j] = arg.lit
			}
		}
	}
}

// following returns which call comes after call i, made by the same process.
func (p *Program) following(i int) int {
	for j := i + 1; j < len(p.calls); j++ {
		switch p.calls[j].spawn {
		case p.calls[i].spawn:
			return j
		case p.calls[i]:
		default:
			return len(p.calls)
		}
	}
	return len(p.calls)
}

// collect takes the results out of the arena.
func (p *Program) collect(a *arena) error {
	var first error
	for _, c := range p.calls {
		c.ret, c.op = c.op.ret, nil
		if c.ret < 0 && !c.mayErr && c.spawn == nil && first == nil {
			first = c.Err()
		}
		for _, arg := range c.args {
			if arg.out != nil {
				arg.out.data = slices.Clone(a.mem[arg.out.off : arg.out.off+uintptr(arg.out.size)])
			}
		}
	}
	return first
}

// CallError is a system call that failed in an agent.
type CallError struct {
	What  string
	Part  int // see [Program.Part]
	Errno unix.Errno
}

func (e *CallError) Error() string { return e.What + ": " + e.Errno.Error() }

// Unwrap returns the errno, for errors.Is.
func (e *CallError) Unwrap() error { return e.Errno }
