package restore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// settings are what became of settings so far.
type settings struct {
	// ownPIDMax: pid namespaces have a pid_max of their own here, once it was asked.
	ownPIDMax, asked bool
	// left has those that could not be made.
	left map[*topology.Namespace]map[string]bool
}

// set adds what NS is set to. What was written is read again at once: the dump by
// which a restore is verified leaves it out.
func (e *executor) set(ctx context.Context, s Step) error {
	p := e.program(s.By)
	if s.NS.Type == topology.IPC {
		// Who has no root there stays who they are.
		p.Call("become root of "+s.NS.Owner.Name(), unix.SYS_SETRESUID, agent.Int(0), agent.Int(0), agent.Int(0)).MayFail()
	}
	for _, x := range sysctlsOf(s.NS) {
		e.sysctl(ctx, p, s.NS, x.Name, x.Value)
	}
	if s.NS.Net != nil && s.NS.Net.Loopback {
		loopbackUp(p, s.NS)
	}
	if s.NS.Type == topology.PID {
		return e.setPID(ctx, p, s.NS)
	}
	return nil
}

// setPID adds pid_max and the last pid. That pid_max is the namespace's own is made
// sure of before: on an older kernel it is the host's.
func (e *executor) setPID(ctx context.Context, p *agent.Program, n *topology.Namespace) error {
	if limit := ownPIDMax(n); limit != 0 {
		if !e.settings.asked {
			var err error
			if e.settings.ownPIDMax, err = e.agents[0].OwnPIDMax(ctx); err != nil {
				return err
			}
			e.settings.asked = true
		}
		if e.settings.ownPIDMax {
			e.sysctl(ctx, p, n, "kernel.pid_max", fmt.Sprint(limit))
		} else {
			e.leave(n, "kernel.pid_max")
			e.note("%s: it had a pid_max of its own, %d, and this kernel has one for all (Linux 6.14 has)", n.Name(), limit)
		}
	}
	if n.PID.LastPID > 0 {
		e.sysctl(ctx, p, n, lastPID, fmt.Sprint(n.PID.LastPID))
	}
	return nil
}

// setting is one setting to be written, and read again.
type setting struct {
	n                 *topology.Namespace
	name, value, what string
	open, write, read *agent.Call
	buf               *agent.Buffer
}

// sysctl adds the writing of one setting.
func (e *executor) sysctl(ctx context.Context, p *agent.Program, n *topology.Namespace, name, value string) {
	x := writeSetting(p, n, name, value)
	e.after = append(e.after, func() error {
		err := x.err()
		if fd := e.fds[n]; fd != nil && errors.Is(err, unix.EACCES) {
			// Before Linux 6.10 the settings of ipc namespaces were the host's root's
			// alone, and so are they still where an owner has no root.
			var p, child agent.Program
			child.Call("enter "+n.Name(), unix.SYS_SETNS, agent.Int(fd.Value()), agent.Int(cloneFlag(n.Type)))
			again := writeSetting(&child, n, name, value)
			p.Spawn(e.crew, "spawn", agent.ForkOptions{}, &child)
			if rerr := e.agents[0].Run(ctx, &p); rerr != nil {
				return rerr
			}
			if again.read.Value() > 0 {
				err = again.err()
			}
		}
		if errors.Is(err, unix.ENOENT) {
			e.leave(n, name)
			e.note("%s: this kernel has no %s, which was %s", n.Name(), name, value)
			return nil
		}
		if name == lastPID && errors.Is(err, unix.EROFS) {
			e.note("%s: its last pid could not be set to %s: /proc/sys is read-only here", n.Name(), value)
			return nil
		}
		return explainSetting(err)
	})
}

func writeSetting(p *agent.Program, n *topology.Namespace, name, value string) *setting {
	const size = 128
	x := &setting{
		n: n, name: name, value: value,
		what: fmt.Sprintf("set %s of %s to %s", name, n.Name(), value),
		buf:  agent.NewBuffer(size),
	}
	x.open = p.Call(x.what, unix.SYS_OPENAT, agent.Int(agent.ProcFD), agent.String("sys/"+topology.SysctlPath(name)), agent.Int(unix.O_RDWR|unix.O_CLOEXEC)).MayFail()
	x.write = p.Call(x.what, unix.SYS_WRITE, x.open.Ret(), agent.String(value), agent.Int(len(value))).MayFail()
	x.read = p.Call(x.what, unix.SYS_PREAD64, x.open.Ret(), agent.Out(x.buf), agent.Int(size), agent.Int(0)).MayFail()
	p.Call(x.what, unix.SYS_CLOSE, x.open.Ret()).MayFail()
	return x
}

// err returns why the setting is not what it was to be.
func (x *setting) err() error {
	for _, c := range []*agent.Call{x.open, x.write, x.read} {
		if err := c.Err(); err != nil {
			return err
		}
	}
	// The last pid may be another by now.
	if got := strings.Join(strings.Fields(string(x.buf.Bytes(x.read.Value()))), " "); got != x.value && x.name != lastPID {
		return fmt.Errorf("%s: it is %s: this kernel does not take that value", x.what, got)
	}
	return nil
}

const lastPID = "kernel.ns_last_pid"

func explainSetting(err error) error {
	switch {
	case errors.Is(err, unix.EINVAL):
		return advise(err, "this kernel does not take that value")
	case errors.Is(err, unix.EROFS):
		return advise(err, "/proc/sys is read-only here, as containers have it: remount it, or restore on the host")
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return advise(err, "it takes the rights of the host's root, or Linux 6.10: restore as root")
	}
	return err
}

// loopbackUp adds the start of the loopback device, which gives it its addresses.
func loopbackUp(p *agent.Program, n *topology.Namespace) {
	what := "bring the loopback device of " + n.Name() + " up"
	request := make([]byte, 40) // struct ifreq of include/uapi/linux/if.h
	copy(request, "lo")
	request[16] = unix.IFF_UP
	sock := p.Call(what, unix.SYS_SOCKET, agent.Int(unix.AF_UNIX), agent.Int(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC), agent.Int(0))
	p.Call(what, unix.SYS_IOCTL, sock.Ret(), agent.Int(unix.SIOCSIFFLAGS), agent.Bytes(request))
	p.Call(what, unix.SYS_CLOSE, sock.Ret())
}

// leave notes that a setting stays as it is.
func (e *executor) leave(n *topology.Namespace, name string) {
	if e.settings.left[n] == nil {
		e.settings.left[n] = map[string]bool{}
	}
	e.settings.left[n][name] = true
}

func (e *executor) note(format string, args ...any) {
	e.notes = append(e.notes, fmt.Sprintf(format, args...))
}

// wasSet returns those of s that were set.
func (e *executor) wasSet(n *topology.Namespace, s topology.Sysctls) topology.Sysctls {
	if e.settings.left[n] == nil {
		return s
	}
	var kept topology.Sysctls
	for _, x := range s {
		if !e.settings.left[n][x.Name] {
			kept = append(kept, x)
		}
	}
	return kept
}
