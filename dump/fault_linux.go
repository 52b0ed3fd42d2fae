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

// reason is the short form of an error, for a line that names the object.
func reason(err error) string {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}
