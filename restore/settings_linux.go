package restore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/agent"
)

// What the steps write into namespaces: ids, names, clocks.

// write adds the writing of a file in the directory of target, in one go.
func write(p *agent.Program, what string, target *agent.Agent, name, content string) {
	fd := p.Call(what, unix.SYS_OPENAT, agent.Int(target.Dir()), agent.String(name), agent.Int(unix.O_WRONLY|unix.O_CLOEXEC))
	p.Call(what, unix.SYS_WRITE, fd.Ret(), agent.String(content), agent.Int(len(content)))
	p.Call(what, unix.SYS_CLOSE, fd.Ret())
}

func (e *executor) ids(s Step) {
	p := e.program(s.By)
	what := fmt.Sprintf("become uid %d, gid %d of %s", s.UID, s.GID, s.NS.Name())
	if s.UID != 0 {
		// Or else the capabilities go with the 0: setuid(2) in capabilities(7).
		p.Call(what+": prctl PR_SET_SECUREBITS", unix.SYS_PRCTL, agent.Int(unix.PR_SET_SECUREBITS), agent.Int(secbitNoSetuidFixup))
	}
	if e.groups {
		p.Call(what+": setgroups", unix.SYS_SETGROUPS, agent.Int(0), agent.Int(0)).MayFail()
	}
	p.Call(what, unix.SYS_SETRESGID, agent.Int(s.GID), agent.Int(s.GID), agent.Int(s.GID))
	p.Call(what, unix.SYS_SETRESUID, agent.Int(s.UID), agent.Int(s.UID), agent.Int(s.UID))
	dumpable(p)
}

// secbitNoSetuidFixup is SECBIT_NO_SETUID_FIXUP of linux/securebits.h.
const secbitNoSetuidFixup = 1 << 2

func (e *executor) name(s Step) {
	p := e.program(s.By)
	u := s.NS.UTS
	p.Call("name "+s.NS.Name(), unix.SYS_SETHOSTNAME, agent.String(u.NodeName), agent.Int(len(u.NodeName)))
	p.Call("name "+s.NS.Name(), unix.SYS_SETDOMAINNAME, agent.String(u.DomainName), agent.Int(len(u.DomainName)))
}

func (e *executor) clock(s Step) {
	p := e.program(s.By)
	t := s.NS.Time
	write(p, "set the clocks of "+s.NS.Name(), e.agents[s.By], "timens_offsets", fmt.Sprintf(
		"monotonic %d %d\nboottime %d %d\n", t.Monotonic.Sec, t.Monotonic.Nsec, t.Boottime.Sec, t.Boottime.Nsec))
}

// cgroup moves an agent to the cgroup that a cgroup namespace was rooted at,
// where this host has it, before the round in which it goes on. Nothing is
// created for an image.
func (e *executor) cgroup(s Step) {
	if err := joinCgroup(s.NS.Cgroup.Root, e.agents[s.By].PID()); err != nil {
		e.notes = append(e.notes, fmt.Sprintf("%s: rooted at the caller's own cgroup: %v", s.NS.Name(), err))
	}
}

// joinCgroup moves a process into a cgroup of the unified hierarchy. The path
// comes from an image: os.Root keeps it below the mount.
func joinCgroup(path string, pid int) error {
	mount, err := cgroupMount()
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(mount)
	if err != nil {
		return err
	}
	defer root.Close()
	path = strings.TrimPrefix(path, "/")
	if path != "" {
		path += "/"
	}
	f, err := root.OpenFile(path+"cgroup.procs", os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("this host has no cgroup /%s", path)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(strconv.Itoa(pid))
	return errors.Join(err, f.Close())
}

// cgroupMount returns where the unified hierarchy is mounted.
func cgroupMount() (string, error) {
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
			return dir, nil
		}
	}
	return "", errors.New("cgroup2 is mounted neither at /sys/fs/cgroup nor at /sys/fs/cgroup/unified")
}
