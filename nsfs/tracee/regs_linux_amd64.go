package tracee

import (
	"bytes"

	"golang.org/x/sys/unix"
)

// registers are those of NT_PRSTATUS, linux/elf.h.
type registers = unix.PtraceRegs

// What the kernel returns of calls that are to be made again, linux/errno.h. Programs
// never see them.
const (
	eRestartSys          = -512
	eRestartNoIntr       = -513
	eRestartNoHand       = -514
	eRestartRestartblock = -516
)

// resumed makes of registers those with which the thread goes on: what the kernel
// would do had nobody interfered (arch_do_signal_or_restart, arch/x86/kernel/signal.c).
func resumed(r registers) registers {
	if int64(r.Orig_rax) < 0 {
		return r // it was in no call
	}
	switch int64(r.Rax) {
	case eRestartSys, eRestartNoIntr, eRestartNoHand:
		r.Rax, r.Rip = r.Orig_rax, r.Rip-uint64(len(instruction))
	case eRestartRestartblock:
		r.Rax, r.Rip = unix.SYS_RESTART_SYSCALL, r.Rip-uint64(len(instruction))
	}
	r.Orig_rax = ^uint64(0)
	return r
}

// leaveCall has nothing to do: the kernel goes by the registers that it is given.
func (h *Held) leaveCall() error { return nil }

// instruction is syscall.
var instruction = []byte{0x0f, 0x05}

// caller returns where the instruction is that a thread made its call by: the next one,
// where it is to be made again and was not yet.
func caller(tid int, r registers) (uint64, bool) {
	code := make([]byte, len(instruction))
	for _, at := range []uint64{r.Rip - uint64(len(code)), r.Rip} {
		n, _ := ReadMemory(tid, uintptr(at), code)
		if n == len(code) && bytes.Equal(code, instruction) {
			return at, true
		}
	}
	return 0, false
}

// calling has registers make a call at an instruction.
func calling(r registers, at, nr uint64, args [6]uint64) registers {
	r.Rip, r.Rax, r.Orig_rax = at, nr, ^uint64(0)
	r.Rdi, r.Rsi, r.Rdx, r.R10, r.R8, r.R9 = args[0], args[1], args[2], args[3], args[4], args[5]
	return r
}

func result(r registers) int64 { return int64(r.Rax) }
