//go:build linux

package tracee

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Request makes a request of ptrace(2) that takes no pointer. It is for the thread
// that traces: see [runtime.LockOSThread].
func Request(request, tid int, data uintptr) error {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(tid), 0, data, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// Registers reads registers of a set of a stopped thread or, with PTRACE_SETREGSET,
// writes them. A set of another size is that of a program of 32 bits.
func Registers[T any](request, tid int, set uintptr, v *T) error {
	iov := unix.Iovec{Base: (*byte)(unsafe.Pointer(v)), Len: uint64(unsafe.Sizeof(*v))}
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(tid), set, uintptr(unsafe.Pointer(&iov)), 0, 0)
	if errno != 0 {
		return fmt.Errorf("ptrace: registers: %w", errno)
	}
	if iov.Len != uint64(unsafe.Sizeof(*v)) {
		return fmt.Errorf("ptrace: registers of %d bytes: %w", iov.Len, errForeign)
	}
	return nil
}

// ReadMemory reads memory of a process, up to where it ends.
func ReadMemory(pid int, at uintptr, buf []byte) (int, error) {
	if len(buf) == 0 {
		return 0, nil
	}
	n, err := unix.ProcessVMReadv(pid,
		[]unix.Iovec{{Base: &buf[0], Len: uint64(len(buf))}},
		[]unix.RemoteIovec{{Base: at, Len: len(buf)}}, 0)
	return max(n, 0), err
}

// signalMask reads or sets the mask of blocked signals (PTRACE_GETSIGMASK).
func signalMask(request, tid int, mask *uint64) error {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(tid), unsafe.Sizeof(*mask), uintptr(unsafe.Pointer(mask)), 0, 0)
	if errno != 0 {
		return fmt.Errorf("ptrace: signal mask: %w", errno)
	}
	return nil
}
