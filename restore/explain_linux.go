package restore

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// advised is an error that says what to do about it, and is given no other advice
// on its way up.
type advised struct{ error }

func (a advised) Unwrap() error { return a.error }

// advise adds a remedy to err, where it has none.
func advise(err error, remedy string) error {
	if _, is := errors.AsType[advised](err); is {
		return err
	}
	return advised{fmt.Errorf("%w: %s", err, remedy)}
}

// explain adds the remedy to an error of the kernel, where one is known.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOSPC):
		return advise(err, "a limit is exhausted: raise user.max_*_namespaces (sysctl), in every user namespace above; 33 levels of user and 32 of pid namespaces are the kernel's own limit")
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return advise(err, "restore as root, outside a chroot, or allow user namespaces (kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)")
	case errors.Is(err, unix.ERANGE): // proc_timens_set_offset, kernel/time/namespace.c
		return advise(err, "by this offset a clock would show less than nothing here, or centuries: restore with another --clock")
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return advise(err, "raise the limit of open files (ulimit -Hn)")
	}
	return err
}
