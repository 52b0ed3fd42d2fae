package tracee

import (
	"bytes"

	"golang.org/x/sys/unix"
)

// registers are those of NT_PRSTATUS, linux/elf.h.
type registers = unix.PtraceRegs

// resumed makes of registers those with which the thread goes on. The kernel has seen
// to calls that are to be made again before a tracer sees them (do_signal,
// arch/arm64/kernel/signal.c).
func resumed(r registers) registers { return r }

// instruction is svc #0.
var instruction = []byte{0x01, 0x00, 0x00, 0xd4}

// caller returns where the instruction is that a thread made its call by: the next one,
// where it is to be made again.
func caller(tid int, r registers) (uint64, bool) {
	code := make([]byte, len(instruction))
	for _, at := range []uint64{r.Pc, r.Pc - uint64(len(code))} {
		n, _ := ReadMemory(tid, uintptr(at), code)
		if n == len(code) && bytes.Equal(code, instruction) {
			return at, true
		}
	}
	return 0, false
}

// calling has registers make a call at an instruction.
func calling(r registers, at, nr uint64, args [6]uint64) registers {
	r.Pc = at
	r.Regs[8] = nr
	copy(r.Regs[:6], args[:])
	return r
}

func result(r registers) int64 { return int64(r.Regs[0]) }
