//go:build linux

package main

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ptrace is ptrace(2), of which x/sys has only parts, for requests without an address.
func ptrace(request, pid int, data uintptr) error {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(pid), 0, data, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

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

// register reads or, with PTRACE_SETREGSET, writes registers of a set.
func register[T any](request, pid int, set uintptr, v *T) error {
	iov := unix.Iovec{Base: (*byte)(unsafe.Pointer(v)), Len: uint64(unsafe.Sizeof(*v))}
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(pid), set, uintptr(unsafe.Pointer(&iov)), 0, 0)
	if errno != 0 {
		return fmt.Errorf("ptrace: registers: %w", errno)
	}
	return nil
}

// readMemory reads memory of a process, up to where it ends.
func readMemory(pid int, at uintptr, buf []byte) (int, error) {
	if len(buf) == 0 {
		return 0, nil
	}
	n, err := unix.ProcessVMReadv(pid,
		[]unix.Iovec{{Base: &buf[0], Len: uint64(len(buf))}},
		[]unix.RemoteIovec{{Base: at, Len: len(buf)}}, 0)
	return max(n, 0), err
}
