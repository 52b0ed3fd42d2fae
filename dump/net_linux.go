package dump

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// errNoFresh is why the settings of a net namespace are not known.
var errNoFresh = errors.New("no fresh net namespace to compare with")

// netReads are what is asked of a net namespace.
type netReads struct {
	files   *sysctlFiles
	socket  *agent.Call
	flags   *agent.Call
	request *agent.Buffer // struct ifreq of include/uapi/linux/if.h
}

func readNet(p *agent.Program, proc agent.Arg) *netReads {
	r := &netReads{
		files:   readSysctls(p, proc, topology.SysctlNames(topology.Net)),
		request: agent.NewBufferOf(append([]byte("lo"), make([]byte, 38)...)),
	}
	// Any socket will do; those of unix(7) every kernel has.
	r.socket = p.Call("socket", unix.SYS_SOCKET, agent.Int(unix.AF_UNIX), agent.Int(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC), agent.Int(0)).MayFail()
	r.flags = p.Call("ioctl", unix.SYS_IOCTL, r.socket.Ret(), agent.Int(unix.SIOCGIFFLAGS), agent.Out(r.request)).MayFail()
	p.Call("close", unix.SYS_CLOSE, r.socket.Ret()).MayFail()
	return r
}

func (r *netReads) state(fresh map[string]string) (*topology.NetState, error) {
	values, err := r.files.values()
	s := &topology.NetState{}
	s.Sysctls = differing(topology.SysctlNames(topology.Net), values, func(name string) (string, bool) {
		value, ok := fresh[name]
		return value, ok
	})
	switch lerr := errors.Join(r.socket.Err(), r.flags.Err()); {
	case lerr == nil:
		s.Loopback = binary.NativeEndian.Uint16(r.request.Bytes(18)[16:])&unix.IFF_UP != 0
	case !errors.Is(lerr, unix.ENODEV): // removed
		err = errors.Join(err, lerr)
	}
	return s, err
}

// netVisit asks a net namespace for its settings and its loopback device, of which
// a fresh one has what freshNet found.
func (d *dumper) netVisit(n *node) visit {
	var reads *netReads
	return visit{
		node:  n,
		what:  "net settings",
		files: true,
		ask:   func(p *agent.Program, proc agent.Arg) { reads = readNet(p, proc) },
		take: func() error {
			if d.fresh == nil {
				return errNoFresh
			}
			var err error
			n.out.Net, err = reads.state(d.fresh)
			return err
		},
	}
}

// freshNet has an agent make a net namespace to see what one begins with. That
// depends on the host: much is copied from its own namespace or goes by its memory.
func (v *inside) freshNet() error {
	v.d.freshAsked = true
	if v.d.fresh = v.d.opts.Fresh.known(); v.d.fresh != nil {
		return nil
	}
	a, err := v.crew.Root().Fork(v.d.ctx, "fork agent", agent.ForkOptions{})
	if err != nil {
		return &lostError{err}
	}
	// Who may not create a net namespace as they are may do so as their own root.
	flags := unix.CLONE_NEWNET
	if !v.admin {
		flags |= unix.CLONE_NEWUSER
	}
	var p agent.Program
	made := p.Call("make a net namespace", unix.SYS_UNSHARE, agent.Int(flags)).MayFail()
	reads := readNet(&p, agent.Int(agent.ProcFD))
	if err := a.StartExit(v.d.ctx, &p); err != nil {
		return &lostError{err}
	}
	if err := a.Wait(v.d.ctx); err != nil {
		return &lostError{err}
	}
	values, err := reads.files.values()
	if err := errors.Join(made.Err(), err); err != nil {
		v.d.miss.add("a fresh net namespace, with which others are compared", reason(err))
		return nil
	}
	v.d.fresh = values
	if f := v.d.opts.Fresh; f != nil {
		f.Sysctls = values
	}
	return nil
}
