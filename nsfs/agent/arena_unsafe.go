//go:build linux && (amd64 || arm64)

package agent

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Where agents map the arena, and how large it is; code_*.s has them too. The
// file is sparse: memory is taken only where something was written.
const (
	arenaBase = 0x1000000000
	arenaSize = 0x20000000
)

// op is one record: a system call and what follows it. The layout is known to
// code_*.s. Every pointer is an address in the agents' memory.
type op struct {
	nr             int64     // -1: hold
	arg            [6]uint64 // where each argument lies
	ret            int64     // the result, unless it is zero
	neg, zero, pos uint64    // the record to go to
	lit            [6]uint64 // arguments that are constants
}

const opSize = unsafe.Sizeof(op{})

// slot is what the maker shares with one agent for all of its life.
type slot struct {
	state  atomic.Uint32 // idle or running; a futex
	_      uint32
	self   [16]byte // what /proc/self leads to: the agent's pid
	wait   op       // wait for state to be running
	finish op       // state = idle, wake the maker, go to wait
	last   op       // the same, and go to the agent's end
	boot   [2]op    // read self, open its /proc directory
}

// The values of slot.state.
const (
	idle    = 0
	running = 1
)

// arena is the memory that a crew and its maker share.
type arena struct {
	mem  []byte
	file *os.File
	used uintptr
	free [32][]uintptr // by power of two
}

var errArenaFull = errors.New("agents' shared memory is full")

func newArena() (*arena, error) {
	fd, err := unix.MemfdCreate("renest-arena", unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate("renest-arena", unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	a := &arena{file: os.NewFile(uintptr(fd), "renest-arena")}
	if err := a.file.Truncate(arenaSize); err != nil {
		return nil, errors.Join(fmt.Errorf("size agents' shared memory: %w", err), a.file.Close())
	}
	a.mem, err = unix.Mmap(fd, 0, arenaSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("map agents' shared memory: %w", err), a.file.Close())
	}
	return a, nil
}

func (a *arena) close() error {
	return errors.Join(unix.Munmap(a.mem), a.file.Close())
}

// alloc returns the offset of n bytes, aligned to a cache line.
func (a *arena) alloc(n uintptr) (uintptr, error) {
	class := bits.Len64(uint64(max(n, 64) - 1))
	if f := a.free[class]; len(f) > 0 {
		a.free[class] = f[:len(f)-1]
		return f[len(f)-1], nil
	}
	off := a.used
	if n > arenaSize || off+1<<class > arenaSize {
		return 0, errArenaFull
	}
	a.used += 1 << class
	return off, nil
}

// release gives n bytes at off back.
func (a *arena) release(off, n uintptr) {
	class := bits.Len64(uint64(max(n, 64) - 1))
	a.free[class] = append(a.free[class], off)
}

// addr is where agents see offset off.
func addr(off uintptr) uint64 { return arenaBase + uint64(off) }

// opAt returns the record at an offset that alloc returned.
func (a *arena) opAt(off uintptr) *op { return (*op)(unsafe.Pointer(&a.mem[off])) }

func (a *arena) slotAt(off uintptr) *slot { return (*slot)(unsafe.Pointer(&a.mem[off])) }

// sharedAt returns what is at an offset that alloc returned.
func (a *arena) sharedAt(off uintptr) *shared { return (*shared)(unsafe.Pointer(&a.mem[off])) }

const (
	slotSize   = unsafe.Sizeof(slot{})
	sharedSize = unsafe.Sizeof(shared{})
)

// addrOf is where agents see p, which points into the arena.
func addrOf[T any](a *arena, p *T) uint64 {
	return addr(uintptr(unsafe.Pointer(p)) - uintptr(unsafe.Pointer(unsafe.SliceData(a.mem))))
}

// set fills a record with a call whose arguments are all constants.
func (a *arena) set(o *op, nr uintptr, args ...uint64) {
	*o = op{nr: int64(nr)}
	copy(o.lit[:], args)
	for i := range o.arg {
		o.arg[i] = addrOf(a, &o.lit[i])
	}
}

// then makes next follow o whatever the result.
func (o *op) then(next uint64) {
	atomic.StoreUint64(&o.neg, next)
	atomic.StoreUint64(&o.zero, next)
	atomic.StoreUint64(&o.pos, next)
}

// wake wakes whoever waits on the futex s.
func wake(s *atomic.Uint32) {
	unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(s)), futexWake, 1, 0, 0, 0)
}

// waitWhile blocks while s is v, for no longer than d; it may return early.
func waitWhile(s *atomic.Uint32, v uint32, d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(s)), futexWait, uintptr(v), uintptr(unsafe.Pointer(&ts)), 0, 0)
}

// Operations of futex(2), on memory shared between processes.
const (
	futexWait   = 0
	futexWake   = 1
	futexWakeOp = 5

	futexCmpRequeue = 4
)
