//go:build linux

package nsfs

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// What a kernel error means for a namespace. Every [*Error] wraps the kernel's
// error number too, and one of these where it applies.
var (
	// ErrNotSupported: this kernel does not have the interface.
	ErrNotSupported = errors.New("not supported by this kernel")

	// ErrNoNamespace: what was opened is something else.
	ErrNoNamespace = errors.New("not a namespace")

	// ErrOutOfSight: the namespace asked for lies outside the caller's own user
	// or pid namespace, or there is none, as above the initial one. The kernel
	// says EPERM to both.
	ErrOutOfSight = errors.New("outside the caller's own namespaces")

	// ErrGone: the task or the namespace has ceased to exist, which is no fault
	// in a world that moves on while one looks at it.
	ErrGone = errors.New("gone")

	// ErrDenied: the kernel has the answer and does not give it to the caller.
	ErrDenied = errors.New("permission denied")

	// ErrForeignProc: a procfs is another pid namespace's, and its numbers are not
	// those that the caller's system calls take.
	ErrForeignProc = errors.New("belongs to another pid namespace")
)

// Error is a failed operation on an object of the kernel's.
type Error struct {
	Op     string // "owner of", "open"
	Object string // "net:[4026531840]", "/proc/4711/ns/net"
	Kind   error  // one of the sentinels above, or nil
	Errno  unix.Errno
}

// Error returns the operation, the object and the reason.
func (e *Error) Error() string {
	s := e.Op + " " + strings.ReplaceAll(e.Object, "\n", `\n`) + ": " // a path may have some
	switch {                                                          // what the number alone does not say
	case errors.Is(e.Kind, ErrNoNamespace):
		return s + e.Kind.Error()
	case errors.Is(e.Kind, ErrNotSupported), errors.Is(e.Kind, ErrOutOfSight):
		return s + e.Kind.Error() + " (" + e.Errno.Error() + ")"
	}
	return s + e.Errno.Error()
}

// Unwrap returns the kind and the kernel's error number, for errors.Is.
func (e *Error) Unwrap() []error {
	if e.Kind == nil {
		return []error{e.Errno}
	}
	return []error{e.Kind, e.Errno}
}

// wrap makes an *Error of err, whose meaning kind tells. An error that is no
// error number of the kernel's is returned as it is.
func wrap(op, object string, err error, kind func(unix.Errno) error) error {
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return err
	}
	return &Error{Op: op, Object: object, Kind: kind(errno), Errno: errno}
}

// ioctlKind is the meaning of an error of an nsfs ioctl (fs/nsfs.c ns_ioctl).
func ioctlKind(errno unix.Errno) error {
	switch errno {
	case unix.ENOTTY, unix.ENOSYS, unix.EOPNOTSUPP:
		return ErrNotSupported
	case unix.EPERM:
		return ErrOutOfSight
	case unix.ESRCH:
		return ErrGone
	}
	return nil
}

// fileKind is the meaning of an error of opening or reading under /proc, or of
// opening a namespace by handle.
func fileKind(errno unix.Errno) error {
	switch errno {
	case unix.ENOENT, unix.ESRCH, unix.ESTALE:
		return ErrGone
	case unix.EACCES, unix.EPERM:
		return ErrDenied
	case unix.ENOSYS, unix.EOPNOTSUPP, unix.ENOTTY:
		return ErrNotSupported
	}
	return nil
}
