package restore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// inFolder is how a folder is opened whose name an image has: it is in the folder
// that it was looked up from, and no link (openat2(2), Linux 5.6).
var inFolder = unix.OpenHow{
	Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
	Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
}

// howBytes is how as the kernel reads it: struct open_how.
func howBytes(how *unix.OpenHow) []byte {
	b := make([]byte, 0, unix.SizeofOpenHow)
	for _, v := range []uint64{how.Flags, how.Mode, how.Resolve} {
		b = binary.NativeEndian.AppendUint64(b, v)
	}
	return b
}

// lookPin looks whether a pin can be made. It returns the folders that are
// missing, the outermost first.
func lookPin(pin PlannedPin) (missing []string, err error) {
	dir, rest := pin.Dir, strings.TrimPrefix(pin.Path[len(pin.Dir):], "/")
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("the folder %s: %w", dir, err)
	}
	defer func() { _ = unix.Close(fd) }()
	if is, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); err != nil || is != dir {
		return nil, errors.Join(err, fmt.Errorf("the folder %s is a symbolic link: name %s", dir, is))
	}
	names := strings.Split(rest, "/")
	for i, name := range names {
		at := path.Join(dir, strings.Join(names[:i+1], "/"))
		if i == len(names)-1 {
			var st unix.Stat_t
			if err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); !errors.Is(err, unix.ENOENT) {
				return nil, taken(at, err)
			}
			return nil, nil
		}
		next, err := unix.Openat2(fd, name, &inFolder)
		if errors.Is(err, unix.ENOENT) {
			for j := i; j < len(names)-1; j++ {
				missing = append(missing, path.Join(dir, strings.Join(names[:j+1], "/")))
			}
			return missing, nil
		}
		if err != nil {
			return nil, inTheWay(at, err)
		}
		_ = unix.Close(fd)
		fd = next
	}
	return nil, nil
}

// taken says that a pin's path is not free, or that it cannot be told.
func taken(at string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	return fmt.Errorf("something is at %s already: move it away, or pin to another folder (--pin)", at)
}

// inTheWay says why a path cannot be gone along.
func inTheWay(at string, err error) error {
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
		return fmt.Errorf("%s is no folder, nor may it be a symbolic link to one: pin to another folder (--pin)", at)
	}
	return fmt.Errorf("%s: %w", at, err)
}

// lookPins looks at the path of every pin of plan, so that [Preflight] can judge
// them.
func (h *Host) lookPins(plan *Plan) {
	for _, pin := range plan.Pins {
		if _, err := lookPin(pin); err != nil {
			if h.PinFaults == nil {
				h.PinFaults = map[string]error{}
			}
			h.PinFaults[pin.Path] = err
		}
	}
}
