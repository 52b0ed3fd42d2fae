package dump

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
)

// fault notes that something of an object could not be read, and why. That the
// object has gone is no fault.
func (d *dumper) fault(object, what string, err error) {
	switch {
	case err == nil, errors.Is(err, nsfs.ErrGone):
	case errors.Is(err, nsfs.ErrDenied):
		d.miss.add(object, what+": permission denied")
	default:
		d.miss.add(object, what+": "+reason(err))
	}
}

// hiding notes that the mount of procfs keeps tasks from the caller, if so.
func (m *missing) hiding(p *nsfs.Proc) {
	if h := p.Hides(); h != "" {
		m.add("/proc", "mounted with "+h+", tasks that the caller may not trace are not shown")
	}
}

// outside notes that the caller's pid namespace is not the initial one, if so: tasks
// outside it have no number there.
func (m *missing) outside(own nsfs.Ref) {
	if own.Ino != nsfs.InitPIDIno {
		m.add(own.String(), "not the initial pid namespace: tasks outside it are not shown")
	}
}

// reason is the short form of an error, for a line that names the object.
func reason(err error) string {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}
