//go:build linux

package main

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// syscallInfo is struct ptrace_syscall_info of linux/ptrace.h.
type syscallInfo struct {
	op   uint8
	_    [3]uint8
	arch uint32
	ip   uint64
	sp   uint64
	nr   uint64
	args [6]uint64
	_    uint64
}

// enteredCall returns the call that a stopped thread is about to make, false where
// it has just made one.
func enteredCall(pid int) (c entered, ok bool, err error) {
	var info syscallInfo
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(pid),
		unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 {
		return entered{}, false, fmt.Errorf("ptrace PTRACE_GET_SYSCALL_INFO: %w", errno)
	}
	return entered{info.nr, info.args}, info.op == unix.PTRACE_SYSCALL_INFO_ENTRY, nil
}
