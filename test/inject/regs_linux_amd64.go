package main

import (
	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/tracee"
)

// moreNames are calls that only this architecture has.
var moreNames = map[uint64]string{
	unix.SYS_READLINK: "readlink", unix.SYS_OPEN: "open", unix.SYS_POLL: "poll", unix.SYS_ACCESS: "access",
}

// ntPRStatus is NT_PRSTATUS of linux/elf.h, the general registers.
const ntPRStatus = 1

// skipCall has the kernel make no call (it knows none of this number).
func skipCall(pid int) error {
	var regs unix.PtraceRegs
	if err := tracee.Registers(unix.PTRACE_GETREGSET, pid, ntPRStatus, &regs); err != nil {
		return err
	}
	regs.Orig_rax = ^uint64(0)
	return tracee.Registers(unix.PTRACE_SETREGSET, pid, ntPRStatus, &regs)
}

// setResult sets what a call returns that was just made.
func setResult(pid int, result int64) error {
	var regs unix.PtraceRegs
	if err := tracee.Registers(unix.PTRACE_GETREGSET, pid, ntPRStatus, &regs); err != nil {
		return err
	}
	regs.Rax = uint64(result)
	return tracee.Registers(unix.PTRACE_SETREGSET, pid, ntPRStatus, &regs)
}
