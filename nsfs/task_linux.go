package nsfs

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// Task is an open directory of a process or thread in a procfs. Unlike its
// number it stays the same task's: once that has been reaped, every read is
// [ErrGone], also when the number is in use again. It has one owner, who closes
// it.
type Task struct {
	fd       int
	pid, tid int
}

// PID returns the number of the task's process.
func (t Task) PID() int { return t.pid }

// TID returns the number of the task itself, which is the PID's for a process.
func (t Task) TID() int { return t.tid }

// FD returns the descriptor of the directory, which stays the Task's own.
func (t Task) FD() int { return t.fd }

// Close closes the directory.
func (t Task) Close() { closeFD(t.fd) }

func (t Task) path(name cstr) string {
	p := "/proc/" + strconv.Itoa(t.pid)
	if t.tid != t.pid {
		p += "/task/" + strconv.Itoa(t.tid)
	}
	return p + "/" + string(name[:len(name)-1])
}

// Ref reads where a link leads, which opens nothing and activates nothing. The
// inode number can be another namespace's a moment later, see [Ref].
//
// [ErrGone]: the task has ended, or is a zombie, which has but its user and pid
// namespaces left; or, for PIDForChildren up to Linux 7.0, the namespace has no
// init yet (see [Task.OpenByPIDFD]). [ErrDenied]: no PTRACE_MODE_READ_FSCREDS.
func (t Task) Ref(l Link) (Ref, error) {
	var b [64]byte
	path := linkPaths[l]
	n, err := readlinkat(t.fd, path.ptr(), b[:])
	if err != nil {
		return Ref{}, t.linkError("read link", path, err)
	}
	r, ok := parseRef(b[:n])
	if !ok {
		return Ref{}, &Error{Op: "read link", Object: t.path(path) + " -> " + string(b[:n]), Errno: unix.EINVAL}
	}
	return r, nil
}

// linkError is what following a link of the task failed with. The kernel says
// EACCES also of a task that is gone (proc_ns_get_link, fs/proc/namespaces.c, and
// proc_pid_get_link, fs/proc/base.c), which is [ErrGone].
func (t Task) linkError(op string, path cstr, err error) error {
	if errors.Is(err, unix.EACCES) && t.reaped() {
		err = unix.ESRCH
	}
	return wrap(op, t.path(path), err, fileKind)
}

// reaped reports whether the task has ended, and no zombie is left of it.
func (t Task) reaped() bool {
	var st unix.Statx_t
	return statx(t.fd, cstr("comm\x00").ptr(), unix.STATX_INO, &st) != nil
}

// Refs are the links of a task, each with what [Task.Ref] would return for it.
type Refs [NumLinks]struct {
	Ref Ref
	Err error
}

// Refs reads all ten links, in half the time of ten calls of Ref.
func (t Task) Refs(refs *Refs) {
	*refs = Refs{}
	dir, failed := openProcfs(t.fd, cstr("ns\x00").ptr(), unix.O_PATH|unix.O_DIRECTORY)
	if failed == nil {
		defer closeFD(dir)
	}
	var b [64]byte
	for l := range refs {
		path := linkPaths[l]
		n, err := 0, failed
		if err == nil {
			n, err = readlinkat(dir, path[len("ns/"):].ptr(), b[:])
		}
		if err != nil {
			refs[l].Err = t.linkError("read link", path, err)
			if errors.Is(refs[l].Err, unix.EACCES) { // to the task, and not to the link
				failed = err
			}
			continue
		}
		var ok bool
		if refs[l].Ref, ok = parseRef(b[:n]); !ok {
			refs[l].Err = &Error{Op: "read link", Object: t.path(path) + " -> " + string(b[:n]), Errno: unix.EINVAL}
		}
	}
}

// Handle reads id, type and inode number of the namespace a link leads to, by
// one system call ([ErrNotSupported] before Linux 6.18). Other errors as Ref's.
func (t Task) Handle(l Link) (Handle, error) {
	h, err := handleAt(t.fd, linkPaths[l])
	if err != nil {
		return Handle{}, t.linkError("handle of", linkPaths[l], err)
	}
	return h, nil
}

// Open opens the namespace a link leads to, with the errors of Ref.
func (t Task) Open(l Link) (*NS, error) {
	fd, err := openProcfs(t.fd, linkPaths[l].ptr(), unix.O_RDONLY)
	if err != nil {
		return nil, t.linkError("open", linkPaths[l], err)
	}
	return &NS{fd}, nil
}

// OpenFD opens the namespace behind one of the task's descriptors.
// [ErrNoNamespace] if it is something else.
func (t Task) OpenFD(fd int) (*NS, error) {
	path := cstr("fd/" + strconv.Itoa(fd) + "\x00")
	n, err := openat(t.fd, path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil, t.linkError("open", path, err)
	}
	return adoptOrClose(n, t.path(path))
}

// Threads appends the numbers of the process's threads to buf, its leader first.
func (t Task) Threads(buf []int) ([]int, error) {
	const path = cstr("task\x00")
	buf, err := appendNumbers(t.fd, path, buf)
	if err != nil {
		return buf, wrap("list", t.path(path), err, fileKind)
	}
	return buf, nil
}

// NumThreads counts the process's threads at a fourth of the cost of listing them: the
// links of its folder of threads are two more (proc_task_getattr, fs/proc/base.c).
func (t Task) NumThreads() (int, error) {
	const path = cstr("task\x00")
	var st unix.Statx_t
	if err := statx(t.fd, path.ptr(), unix.STATX_NLINK, &st); err != nil {
		return 0, wrap("count", t.path(path), err, fileKind)
	}
	return int(st.Nlink) - 2, nil
}

// Thread opens one of the process's threads.
func (t Task) Thread(tid int) (Task, error) {
	path := cstr("task/" + strconv.Itoa(tid) + "\x00")
	fd, err := openProcfs(t.fd, path.ptr(), unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return Task{}, wrap("open", t.path(path), err, fileKind)
	}
	return Task{fd: fd, pid: t.pid, tid: tid}, nil
}

// ReadFile reads a small file of the task's, such as "cgroup", up to 1 MiB.
func (t Task) ReadFile(name string) ([]byte, error) {
	path := cstr(name + "\x00")
	b, err := readAll(t.fd, path, nil)
	if err != nil {
		return nil, wrap("read", t.path(path), err, fileKind)
	}
	return b, nil
}
