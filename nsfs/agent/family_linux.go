//go:build amd64 || arm64

package agent

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
)

// Family tells the processes of one crew from all others: by the file that they
// execute, which is theirs alone and lives as long as they do. Where an ordinary user
// is not shown that, of agents that have entered a user namespace, it is by Mark, the
// last argument that they were executed with: nobody else has it but by intent.
type Family struct {
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
	Mark   string `json:"mark"` // 16 hexadecimal digits of chance
}

// executable is what the processes of a crew execute.
type executable struct {
	file   *os.File
	family Family
}

// executableOf returns that of kin, or a new one where there is none.
func executableOf(kin *Crew) (x executable, err error) {
	if kin == nil {
		x.file, err = executableFile()
	} else {
		x.file, err = duplicateHigh(kin.executable.file)
	}
	if err != nil {
		return x, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(x.file.Fd()), &st); err != nil {
		return x, errors.Join(fmt.Errorf("fstat agent executable: %w", err), x.file.Close())
	}
	x.family = Family{Device: st.Dev, Inode: st.Ino}
	if kin != nil {
		x.family.Mark = kin.executable.family.Mark
	} else if x.family.Mark, err = mark(); err != nil {
		return x, errors.Join(err, x.file.Close())
	}
	return x, nil
}

func mark() (string, error) {
	var b [8]byte
	n, err := unix.Getrandom(b[:], 0)
	if err == nil && n < len(b) {
		err = unix.EINTR
	}
	if err != nil {
		return "", fmt.Errorf("getrandom: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}

// Kill ends every process of the family, whoever is its parent by now, and sees
// them gone: what is to be done where maker and guardian were both killed. It takes
// the rights to kill them, which whoever made them has.
func (f Family) Kill() error { return f.kill(func(int) bool { return true }) }

// kill is Kill of those for whom is is true.
func (f Family) kill(is func(pid int) bool) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		found, err := f.killOnce(deadline, is)
		if err != nil || found == 0 {
			return err
		}
		// What they forked meanwhile is still to be found.
	}
}

// killOnce kills those that it finds in one look at /proc.
func (f Family) killOnce(deadline time.Time, is func(pid int) bool) (found int, err error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return 0, err
	}
	names, err := dir.Readdirnames(-1)
	if err = errors.Join(err, dir.Close()); err != nil {
		return 0, err
	}
	var fds []int
	defer func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}()
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || !f.has(name) || !is(pid) {
			continue
		}
		fd, err := nsfs.OpenProcess(pid)
		if errors.Is(err, nsfs.ErrGone) {
			continue
		}
		if err != nil {
			return 0, err
		}
		if !f.has(name) { // the number is another's by now
			_ = unix.Close(fd)
			continue
		}
		fds = append(fds, fd)
	}
	return len(fds), nsfs.End(fds, time.Until(deadline))
}

// has reports whether a process executes the family's file. Device and inode are
// those of a memfd, so that no other file has them. Who may not look (proc_pid_get_link,
// fs/proc/base.c) is shown the arguments all the same.
func (f Family) has(pid string) bool {
	var st unix.Stat_t
	err := unix.Stat("/proc/"+pid+"/exe", &st)
	if err == unix.EACCES || err == unix.EPERM {
		args, err := os.ReadFile("/proc/" + pid + "/cmdline")
		return err == nil && f.Mark != "" && bytes.HasSuffix(args, []byte("\x00"+f.Mark+"\x00"))
	}
	return err == nil && st.Dev == f.Device && st.Ino == f.Inode
}
