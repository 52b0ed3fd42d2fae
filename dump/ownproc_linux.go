package dump

import (
	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/agent"
)

// Every file below /proc/sys that is opened in another namespace leaves another
// entry of the same name in the kernel's cache of names, where the next to look that
// name up goes past all of them (proc_sys_compare, fs/proc/proc_sysctl.c): to read a
// setting in a thousand namespaces takes a million steps, and the host's own look-ups
// are slow afterwards. A procfs of one's own keeps these entries apart, and takes
// them along when it goes: there is a new one for each program.

// ownProc is a procfs that a program mounts, nowhere, for itself.
type ownProc struct {
	proc  agent.Arg
	mount *agent.Call // nil without
	used  int         // by how many namespaces
}

// ownProcUses is by how many namespaces one is used: to mount another costs what ten
// files do, and with so many namespaces a look-up goes past all of them.
const ownProcUses = 8

// openProc adds the mounting of a procfs to p; where that is not allowed, the
// program goes by the one that all agents have.
func (v *inside) openProc(p *agent.Program) ownProc {
	if v.ownProc == notAllowed {
		return ownProc{proc: agent.Int(agent.ProcFD)}
	}
	mount := mountProc(p)
	return ownProc{proc: mount.Ret(), mount: mount}
}

func mountProc(p *agent.Program) *agent.Call {
	fs := p.Call("fsopen proc", unix.SYS_FSOPEN, agent.String("proc"), agent.Int(unix.FSOPEN_CLOEXEC)).MayFail()
	p.Call("fsconfig", unix.SYS_FSCONFIG, fs.Ret(), agent.Int(unix.FSCONFIG_CMD_CREATE), agent.Int(0), agent.Int(0), agent.Int(0)).MayFail()
	mount := p.Call("fsmount", unix.SYS_FSMOUNT, fs.Ret(), agent.Int(unix.FSMOUNT_CLOEXEC), agent.Int(0)).MayFail()
	p.Call("close", unix.SYS_CLOSE, fs.Ret()).MayFail()
	return mount
}

// renewed returns the procfs for the settings of one more namespace.
func (o ownProc) renewed(v *inside, p *agent.Program) ownProc {
	if o.mount != nil && o.used == ownProcUses {
		o.close(p)
		o = v.openProc(p)
	}
	o.used++
	return o
}

// close adds the unmounting.
func (o ownProc) close(p *agent.Program) {
	if o.mount != nil {
		p.Call("close", unix.SYS_CLOSE, o.mount.Ret()).MayFail()
	}
}

// proc says whether agents may mount a procfs.
type procState uint8

const (
	untried procState = iota
	allowed
	notAllowed
)

// tryProc finds out whether a, and the agents that are forked as it is, may mount a
// procfs: for that it takes CAP_SYS_ADMIN where the mount namespace belongs, and in a
// container a procfs that nothing is mounted on.
func (v *inside) tryProc(a *agent.Agent) error {
	if v.ownProc != untried {
		return nil
	}
	v.ownProc = notAllowed
	if !v.admin {
		return nil
	}
	var p agent.Program
	mount := mountProc(&p)
	p.Call("close", unix.SYS_CLOSE, mount.Ret()).MayFail()
	if err := a.Run(v.d.ctx, &p); err != nil {
		return &lostError{err}
	}
	if mount.Err() == nil {
		v.ownProc = allowed
	}
	return nil
}
