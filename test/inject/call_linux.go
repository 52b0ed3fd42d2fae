package main

import (
	"bytes"
	"fmt"
	"math"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/tracee"
)

// entered is a system call that a thread is about to make.
type entered struct {
	nr   uint64
	args [6]uint64
}

// names are those of the calls that have a place, by number.
var names = map[uint64]string{
	unix.SYS_BIND: "bind", unix.SYS_CAPGET: "capget", unix.SYS_CAPSET: "capset", unix.SYS_CLONE: "clone",
	unix.SYS_CLONE3: "clone3", unix.SYS_CLOSE: "close", unix.SYS_CLOSE_RANGE: "close_range",
	unix.SYS_CONNECT: "connect", unix.SYS_DUP3: "dup3", unix.SYS_EXECVE: "execve", unix.SYS_FCHMOD: "fchmod",
	unix.SYS_FCHOWN: "fchown", unix.SYS_FCNTL: "fcntl", unix.SYS_FSTAT: "fstat", unix.SYS_FSTATFS: "fstatfs",
	unix.SYS_FSYNC: "fsync", unix.SYS_FTRUNCATE: "ftruncate", unix.SYS_GETDENTS64: "getdents64",
	unix.SYS_GETRANDOM: "getrandom", unix.SYS_GETSID: "getsid", unix.SYS_IOCTL: "ioctl", unix.SYS_KCMP: "kcmp",
	unix.SYS_LINKAT: "linkat", unix.SYS_LISTNS: "listns", unix.SYS_LSEEK: "lseek",
	unix.SYS_MEMFD_CREATE: "memfd_create", unix.SYS_MKDIRAT: "mkdirat", unix.SYS_MOUNT: "mount",
	unix.SYS_MOUNT_SETATTR: "mount_setattr", unix.SYS_MOVE_MOUNT: "move_mount",
	unix.SYS_NAME_TO_HANDLE_AT: "name_to_handle_at", unix.SYS_OPENAT: "openat", unix.SYS_OPENAT2: "openat2",
	unix.SYS_OPEN_BY_HANDLE_AT: "open_by_handle_at", unix.SYS_OPEN_TREE: "open_tree",
	unix.SYS_PIDFD_GETFD: "pidfd_getfd", unix.SYS_PIDFD_OPEN: "pidfd_open",
	unix.SYS_PIDFD_SEND_SIGNAL: "pidfd_send_signal", unix.SYS_PIPE2: "pipe2", unix.SYS_PPOLL: "ppoll",
	unix.SYS_PRCTL: "prctl", unix.SYS_PREAD64: "pread64", unix.SYS_PRLIMIT64: "prlimit64",
	unix.SYS_PWRITE64: "pwrite64", unix.SYS_READ: "read", unix.SYS_READLINKAT: "readlinkat",
	unix.SYS_RECVMSG: "recvmsg", unix.SYS_RENAMEAT2: "renameat2", unix.SYS_SENDMSG: "sendmsg",
	unix.SYS_SENDTO: "sendto", unix.SYS_RECVFROM: "recvfrom", unix.SYS_SETDOMAINNAME: "setdomainname",
	unix.SYS_SETGROUPS: "setgroups", unix.SYS_SETHOSTNAME: "sethostname", unix.SYS_SETNS: "setns",
	unix.SYS_SETPGID: "setpgid", unix.SYS_SETRESGID: "setresgid", unix.SYS_SETRESUID: "setresuid",
	unix.SYS_SETSID: "setsid", unix.SYS_SOCKET: "socket", unix.SYS_STATFS: "statfs", unix.SYS_STATX: "statx",
	unix.SYS_UMOUNT2: "umount2", unix.SYS_UNLINKAT: "unlinkat", unix.SYS_UNSHARE: "unshare",
	unix.SYS_WAIT4: "wait4", unix.SYS_WAITID: "waitid", unix.SYS_WRITE: "write", unix.SYS_MMAP: "mmap",
	unix.SYS_RT_SIGACTION: "rt_sigaction", unix.SYS_MUNMAP: "munmap",
}

// kind returns the name by which a call is counted, "" where it is not: the Go
// runtime's own calls, and what says what went wrong.
func (c entered) kind(goes bool) string {
	name := names[c.nr]
	if name == "" {
		name = moreNames[c.nr]
	}
	if !goes {
		return name
	}
	switch name {
	case "rt_sigaction", "munmap":
		return ""
	case "mmap":
		if int32(c.args[4]) < 0 { // no file's
			return ""
		}
	case "clone", "clone3":
		if name == "clone" && c.args[0]&unix.CLONE_THREAD != 0 {
			return ""
		}
	case "write":
		if c.args[0] == 2 {
			return ""
		}
	case "read":
		if c.args[2] == 8 { // syscall.forkExec, which takes for granted that it hears of its child
			return ""
		}
	case "fcntl":
		if c.args[0] <= 2 && c.args[1] == unix.F_GETFD {
			return ""
		}
	case "prctl":
		if c.args[0] == 0x53564d41 { // PR_SET_VMA
			return ""
		}
	}
	return name
}

// text returns the path among a call's arguments, or a descriptor, for people.
func (c entered) text(pid int) string {
	var at uint64
	switch names[c.nr] {
	case "openat", "openat2", "readlinkat", "mkdirat", "unlinkat", "name_to_handle_at", "statx":
		at = c.args[1]
	case "linkat":
		at = c.args[3]
	case "write":
		buf := make([]byte, min(c.args[2], 80))
		n, _ := tracee.ReadMemory(pid, uintptr(c.args[1]), buf)
		return fmt.Sprintf("%d %q", int32(c.args[0]), buf[:n])
	case "mount", "statfs", "sethostname", "setdomainname":
		at = c.args[0]
	default:
		if c.args[0] > math.MaxInt32 {
			return ""
		}
		return fmt.Sprintf("%d, %#x", int32(c.args[0]), c.args[1])
	}
	buf := make([]byte, 80)
	n, _ := tracee.ReadMemory(pid, uintptr(at), buf)
	text, _, _ := bytes.Cut(buf[:n], []byte{0})
	return string(text)
}
