package criu

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// furnish sets the loopback of the net namespaces up that CRIU is handed, where it was.
// What else is in one is not saved.
func (l *layerRun) furnish() error {
	for _, n := range l.external() {
		if n.Net != nil && !n.Net.Loopback {
			continue
		}
		if err := l.loopback(n, true); err != nil {
			return err
		}
	}
	return nil
}

// hush sets the loopback down that was up for CRIU alone.
func (l *layerRun) hush() error {
	for _, n := range l.layer.enter {
		if n.Net == nil || n.Net.Loopback {
			continue
		}
		if err := l.loopback(n, false); err != nil {
			return err
		}
	}
	return nil
}

func (l *layerRun) loopback(n *topology.Namespace, up bool) error {
	a, err := l.crew.Root().Fork(l.ctx, "fork", agent.ForkOptions{})
	if err != nil {
		return err
	}
	var p agent.Program
	p.Call("enter "+n.Name(), unix.SYS_SETNS, agent.Int(l.fds[n]), agent.Int(unix.CLONE_NEWNET))
	setLoopback(&p, up)
	return errors.Join(a.Run(l.ctx, &p), a.Exit(l.ctx))
}

// setLoopback adds the setting of lo. Where that is down, CRIU does not start
// (kerndat_tcp_repair).
func setLoopback(p *agent.Program, up bool) {
	ifreq, what := make([]byte, unix.IFNAMSIZ+24), "set lo down"
	copy(ifreq, "lo")
	if up {
		ifreq[unix.IFNAMSIZ], what = unix.IFF_UP, "set lo up"
	}
	s := p.Call("socket", unix.SYS_SOCKET, agent.Int(unix.AF_INET), agent.Int(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC), agent.Int(0))
	p.Call(what, unix.SYS_IOCTL, s.Ret(), agent.Int(unix.SIOCSIFFLAGS), agent.Bytes(ifreq))
	p.Call("close", unix.SYS_CLOSE, s.Ret())
}
