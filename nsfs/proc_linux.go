package nsfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// Proc is a procfs, opened once and verified: the root of a file system of type
// proc, whose pid namespace is the caller's own. All reads go through it
// relative to its descriptor, so that a mount over /proc in the meantime changes
// nothing. It has one owner, who closes it; it may be used by several goroutines
// at once.
type Proc struct {
	fd    int
	hides string
}

// Of include/linux/proc_ns.h.
const procRootIno = 1

// OpenProc opens the procfs at /proc. It refuses what is no procfs (a mount over
// it, a plain directory), and a procfs of another pid namespace, in which the
// caller's pids would mean other tasks.
func OpenProc() (*Proc, error) { return openProcAt("/proc") }

func openProcAt(path string) (*Proc, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil, fmt.Errorf("there is no %s (mount a procfs there: mkdir %s && mount -t proc proc %s)", path, path, path)
	}
	if err != nil {
		return nil, wrap("open", path, err, fileKind)
	}
	p := &Proc{fd: fd}
	if err := p.verify(path); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return p, nil
}

// Close closes the handle. Tasks opened through it stay valid.
func (p *Proc) Close() error {
	if err := unix.Close(p.fd); err != nil {
		return wrap("close", "/proc", err, fileKind)
	}
	return nil
}

// FD returns the descriptor of the procfs's root, which stays the Proc's own.
func (p *Proc) FD() int { return p.fd }

// Hides returns the option by which this mount of procfs keeps processes from the
// caller, such as hidepid=invisible, and nothing where it shows all of them. Shown are
// then those that the caller may trace: CAP_SYS_PTRACE is no promise, as it does not
// reach above its user namespace, nor what a security module shields. The group of
// gid=, by default that of root, sees all, but with hidepid=ptraceable
// (has_pid_permissions, fs/proc/base.c; proc(5)).
func (p *Proc) Hides() string { return p.hides }

func (p *Proc) verify(path string) error {
	var fs unix.Statfs_t
	var st unix.Stat_t
	if err := errors.Join(unix.Fstatfs(p.fd, &fs), unix.Fstat(p.fd, &st)); err != nil {
		return fmt.Errorf("check %s: %w", path, err)
	}
	if fs.Type != unix.PROC_SUPER_MAGIC || st.Ino != procRootIno {
		return fmt.Errorf("%s is not a procfs (mount one: mount -t proc proc %s)", path, path)
	}
	// The link is the caller's number in the procfs's pid namespace, and is not
	// there where it has none (proc_self_get_link, fs/proc/self.c).
	var link [24]byte
	n, err := readlinkat(p.fd, cstr("self\x00").ptr(), link[:])
	if errors.Is(err, unix.ENOENT) {
		return foreign(path)
	}
	if err != nil {
		return fmt.Errorf("check %s: %w", path, err)
	}
	return p.verifySelf(path, string(link[:n]))
}

// verifySelf makes sure that the procfs's pid namespace is the caller's own: there
// is one level from the one down to the other.
func (p *Proc) verifySelf(path, number string) error {
	pid, err := strconv.Atoi(number)
	if err != nil {
		return fmt.Errorf("check %s: self leads to %q", path, number)
	}
	self, err := p.Task(pid)
	if err != nil {
		return fmt.Errorf("check %s: %w", path, err)
	}
	defer self.Close()
	var s Status
	if err := self.Status(&s); err != nil {
		return fmt.Errorf("check %s: %w", path, err)
	}
	if len(s.NSPID) != 1 || pid != os.Getpid() {
		return foreign(path)
	}
	p.hides, err = self.hides(p.fd)
	return err
}

func foreign(path string) error {
	return fmt.Errorf("the procfs at %s %w (mount one's own over it: mount -t proc proc %s)", path, ErrForeignProc, path)
}

// hides reads the options of the mount that holds fd, see [Proc.Hides].
func (t Task) hides(fd int) (string, error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st); err != nil {
		return "", wrap("stat", "/proc", err, fileKind)
	}
	if st.Mask&unix.STATX_MNT_ID == 0 {
		return "", nil // before Linux 5.8: nothing is known
	}
	var hidepid string
	var group int
	err := t.mountLines(func(line []byte) bool {
		id, _, ok := parseUint(line)
		if !ok || id != st.Mnt_id {
			return true
		}
		hidepid, group = parseHidepid(line)
		return false
	})
	if err != nil || hidepid == "" {
		return "", err
	}
	if hidepid == "hidepid=ptraceable" {
		return hidepid, nil
	}
	// The number is of the initial user namespace (proc_show_options, fs/proc/root.c).
	own, err := t.Ref(InUser)
	if err == nil && own.Ino != InitUserIno {
		return hidepid, nil
	}
	groups, err := unix.Getgroups()
	if err != nil || unix.Getegid() == group || slices.Contains(groups, group) {
		return "", err
	}
	return hidepid, nil
}

// parseHidepid finds the option in a line of mountinfo, and gid= with it.
func parseHidepid(line []byte) (hidepid string, group int) {
	_, super, _ := bytes.Cut(line, []byte(" - "))
	if i := bytes.LastIndexByte(super, ' '); i >= 0 {
		super = super[i+1:]
	}
	for o := range bytes.SplitSeq(super, []byte(",")) {
		if gid, ok := bytes.CutPrefix(o, []byte("gid=")); ok {
			group = firstInt(gid)
		}
		if bytes.HasPrefix(o, []byte("hidepid=")) && string(o) != "hidepid=off" && string(o) != "hidepid=0" {
			hidepid = string(o)
		}
	}
	return hidepid, group
}

// PIDs appends the pids of all processes that the procfs shows to buf, in
// ascending order.
func (p *Proc) PIDs(buf []int) ([]int, error) {
	buf, err := appendNumbers(p.fd, ".\x00", buf)
	if err != nil {
		return buf, wrap("list", "/proc", err, fileKind)
	}
	return buf, nil
}

// ReadFile reads a small file under the root of the procfs, such as
// "sys/kernel/random/boot_id", up to 1 MiB.
func (p *Proc) ReadFile(name string) ([]byte, error) {
	b, err := readAll(p.fd, cstr(name+"\x00"), nil)
	if err != nil {
		return nil, wrap("read", "/proc/"+name, err, fileKind)
	}
	return b, nil
}

// Self opens the calling process (not its calling thread).
func (p *Proc) Self() (Task, error) { return p.Task(os.Getpid()) }

// Task opens the process with this number. [ErrGone] if there is none.
func (p *Proc) Task(pid int) (Task, error) {
	var b [24]byte
	path := append(strconv.AppendInt(b[:0], int64(pid), 10), 0)
	fd, err := openProcfs(p.fd, &path[0], unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return Task{}, wrap("open", "/proc/"+strconv.Itoa(pid), err, fileKind)
	}
	return Task{fd: fd, pid: pid, tid: pid}, nil
}
