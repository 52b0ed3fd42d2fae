package main

import (
	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/tracee"
)

// moreNames are calls that only this architecture has.
var moreNames = map[uint64]string{}

// Register sets of linux/elf.h.
const (
	ntPRStatus      = 1
	ntARMSystemCall = 0x404
)

// skipCall has the kernel make no call (it knows none of this number).
func skipCall(pid int) error {
	number := int32(-1)
	return tracee.Registers(unix.PTRACE_SETREGSET, pid, ntARMSystemCall, &number)
}

// setResult sets what a call returns that was just made.
func setResult(pid int, result int64) error {
	var regs unix.PtraceRegs
	if err := tracee.Registers(unix.PTRACE_GETREGSET, pid, ntPRStatus, &regs); err != nil {
		return err
	}
	regs.Regs[0] = uint64(result)
	return tracee.Registers(unix.PTRACE_SETREGSET, pid, ntPRStatus, &regs)
}
