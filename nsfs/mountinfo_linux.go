package nsfs

import (
	"bytes"
	"errors"

	"golang.org/x/sys/unix"
)

// Bind is a bind mount of a namespace.
type Bind struct {
	Ref  Ref
	Path string // in the mount namespace, from the root of the task asked
	ID   uint64 // of the mount, recycled by the kernel
}

// Binds calls yield with each bind mount of a namespace that the task sees in
// its mount namespace (proc_pid_mountinfo(5)), and returns how many mounts of any
// kind it sees. Those outside the task's root directory are not shown to it, see
// [Task.AtRoot] and [NS.Mounts]. It needs PTRACE_MODE_READ_FSCREDS, else
// [ErrDenied]; [ErrGone] for a zombie too.
func (t Task) Binds(yield func(Bind)) (mounts int, err error) {
	err = t.mountLines(func(line []byte) bool {
		mounts++
		if b, ok := parseBind(line); ok {
			yield(b)
		}
		return true
	})
	return mounts, err
}

// mountLines calls yield with each line of mountinfo, until it answers false.
func (t Task) mountLines(yield func(line []byte) bool) error {
	const path = cstr("mountinfo\x00")
	fd, err := openat(t.fd, path, unix.O_RDONLY)
	if errors.Is(err, unix.EINVAL) { // it has ended, or is a zombie (mounts_open_common, fs/proc_namespace.c)
		err = unix.ESRCH
	}
	if err != nil {
		return wrap("read", t.path(path), err, fileKind)
	}
	defer unix.Close(fd)
	if err := readLines(func(b []byte) (int, error) { return unix.Read(fd, b) }, yield); err != nil {
		return wrap("read", t.path(path), err, fileKind)
	}
	return nil
}

var errLineTooLong = errors.New("line longer than 1 MiB")

// readLines calls yield with each line, which is good until it returns, using no
// more memory than a line may take.
func readLines(read func([]byte) (int, error), yield func([]byte) bool) error {
	buf := make([]byte, 0, 8192)
	for {
		if len(buf) == cap(buf) {
			if len(buf) >= readMax {
				return errLineTooLong
			}
			buf = append(make([]byte, 0, 2*cap(buf)), buf...)
		}
		n, err := read(buf[len(buf):cap(buf)])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			if len(buf) > 0 {
				yield(buf)
			}
			return nil
		}
		buf = buf[:len(buf)+n]
		rest := buf
		for {
			i := bytes.IndexByte(rest, '\n')
			if i < 0 {
				break
			}
			if !yield(rest[:i]) {
				return nil
			}
			rest = rest[i+1:]
		}
		buf = buf[:copy(buf, rest)]
	}
}

// parseBind reads a line of mountinfo: id, parent, device, root, mount point,
// options, optional fields, "-", type, source, super options. A namespace's root
// is its reference, which no other file system's path looks like.
func parseBind(line []byte) (Bind, bool) {
	if !bytes.Contains(line, []byte(" - nsfs ")) {
		return Bind{}, false
	}
	var f [5][]byte
	rest := line
	for i := range f {
		var ok bool
		if f[i], rest, ok = bytes.Cut(rest, []byte{' '}); !ok {
			return Bind{}, false
		}
	}
	id, _, ok := parseUint(f[0])
	if !ok {
		return Bind{}, false
	}
	ref, ok := parseRef(f[3])
	if !ok {
		return Bind{}, false
	}
	return Bind{Ref: ref, Path: unescapePath(f[4]), ID: id}, true
}

// unescapePath undoes mangle() of fs/proc_namespace.c: blank, tab, newline,
// backslash and hash as three octal digits.
func unescapePath(b []byte) string {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+3 < len(b) && isOctal(b[i+1]) && isOctal(b[i+2]) && isOctal(b[i+3]) {
			out = append(out, (b[i+1]-'0')<<6|(b[i+2]-'0')<<3|(b[i+3]-'0'))
			i += 3
			continue
		}
		out = append(out, b[i])
	}
	return string(out)
}

func isOctal(c byte) bool { return c >= '0' && c <= '7' }

// Mount is one line of mountinfo.
type Mount struct {
	Dev   string // of the file system: major:minor
	Root  string // what of the file system is mounted
	Point string // where, from the root of the task asked
}

// Mounts calls yield with each mount that the task sees in its mount namespace, in
// the order in which they were made. The needs are those of [Task.Binds].
func (t Task) Mounts(yield func(Mount)) error {
	return t.mountLines(func(line []byte) bool {
		if f := bytes.SplitN(line, []byte{' '}, 6); len(f) == 6 {
			yield(Mount{Dev: string(f[2]), Root: unescapePath(f[3]), Point: unescapePath(f[4])})
		}
		return true
	})
}

// MountPoint returns where in the task's mount namespace the root of a file
// system of this type is mounted, the last one if several are; empty if none is.
func (t Task) MountPoint(fstype string) (string, error) {
	var path string
	err := t.mountLines(func(line []byte) bool {
		before, after, _ := bytes.Cut(line, []byte(" - "))
		f := bytes.Fields(before)
		if bytes.HasPrefix(after, []byte(fstype+" ")) && len(f) > 4 && string(f[3]) == "/" {
			path = unescapePath(f[4])
		}
		return true
	})
	return path, err
}

// OpenBind opens the namespace that is mounted at a path in the task's mount
// namespace, below its root directory, through no other kind of link.
// [ErrNoNamespace] if there is something else.
func (t Task) OpenBind(path string) (*NS, error) {
	root, err := openat(t.fd, "root\x00", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, t.linkError("open", "root\x00", err)
	}
	defer unix.Close(root)
	fd, err := unix.Openat2(root, path, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, wrap("open", t.path("root\x00")+path, err, fileKind)
	}
	return adoptOrClose(fd, t.path("root\x00")+path)
}
