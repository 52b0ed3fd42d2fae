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

// leaveCall takes the thread out of a call that is to be made again. Where that is done
// by restart_syscall(2), the kernel would make it in place of the first call at the same
// instruction, whatever that was to be (do_signal). So it is begun, which shows it, and
// left out.
func (h *Held) leaveCall() error {
	if h.at != h.resume.Pc {
		return nil // it is over
	}
	if err := h.toEnd(); err != nil {
		return err
	}
	var r registers
	if err := Registers(unix.PTRACE_GETREGSET, h.tid, ntPRStatus, &r); err != nil {
		return err
	}
	h.resume.Regs[8] = r.Regs[8]  // of the others x7 is not the thread's own here
	const ntARMSystemCall = 0x404 // NT_ARM_SYSTEM_CALL, linux/elf.h
	none := int32(-1)
	if err := Registers(unix.PTRACE_SETREGSET, h.tid, ntARMSystemCall, &none); err != nil {
		return err
	}
	return h.toEnd()
}

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
