package restore

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/agent"
)

// What the steps write into namespaces: ids and names.

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
	p.Expose()
}

// secbitNoSetuidFixup is SECBIT_NO_SETUID_FIXUP of linux/securebits.h.
const secbitNoSetuidFixup = 1 << 2

func (e *executor) name(s Step) {
	p := e.program(s.By)
	u := s.NS.UTS
	p.Call("name "+s.NS.Name(), unix.SYS_SETHOSTNAME, agent.String(u.NodeName), agent.Int(len(u.NodeName)))
	p.Call("name "+s.NS.Name(), unix.SYS_SETDOMAINNAME, agent.String(u.DomainName), agent.Int(len(u.DomainName)))
}
