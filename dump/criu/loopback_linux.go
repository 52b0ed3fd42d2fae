package criu

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// kernelCache is where a CRIU keeps what it has found out about the kernel, if that is on a
// tmpfs (kerndat_save_cache, criu/kerndat.c).
const kernelCache = "/run/criu.kdat"

// judgeLoopback refuses a layer whose CRIU would have to be in a net namespace where it
// does not start: unless an earlier one has found that out, it connects a socket to itself
// (kerndat_tcp_repair). A restore sets lo up for the time.
func (d *dumper) judgeLoopback(ctx context.Context, l *Layer) (err error) {
	i := slices.IndexFunc(l.Join, func(n *topology.Namespace) bool { return n.Type == topology.Net })
	if _, err := os.Stat(kernelCache); i < 0 || err == nil {
		return nil
	}
	crew, err := startCrew(ctx, d.proc, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, crew.Close()) }()
	up, err := loopback(ctx, crew.Root(), l.Root.PID)
	if err != nil {
		return fmt.Errorf("look into %s of %s: %w", l.Join[i].Name(), who(l.Root), err)
	}
	if !up {
		return fmt.Errorf("%s is in %s, where CRIU is to be too, and lo is down: CRIU does not start there (\"Unable to connect a socket: Network is unreachable\"); set lo up (nsenter -t %d -n ip link set lo up)", who(l.Root), l.Join[i].Name(), l.Root.PID)
	}
	return nil
}

// loopback reports whether lo is up in a task's net namespace.
func loopback(ctx context.Context, root *agent.Agent, pid int) (up bool, err error) {
	a, err := root.Fork(ctx, "fork", agent.ForkOptions{})
	if err != nil {
		return false, err
	}
	ifreq := agent.NewBufferOf(append([]byte("lo"), make([]byte, 38)...)) // struct ifreq, include/uapi/linux/if.h
	var p agent.Program
	ns := p.Call("open its net namespace", unix.SYS_OPENAT, agent.Int(unix.AT_FDCWD), agent.String(fmt.Sprintf("/proc/%d/ns/net", pid)), agent.Int(unix.O_RDONLY|unix.O_CLOEXEC))
	p.Call("enter its net namespace", unix.SYS_SETNS, ns.Ret(), agent.Int(unix.CLONE_NEWNET))
	s := p.Call("socket", unix.SYS_SOCKET, agent.Int(unix.AF_UNIX), agent.Int(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC), agent.Int(0))
	p.Call("look at lo", unix.SYS_IOCTL, s.Ret(), agent.Int(unix.SIOCGIFFLAGS), agent.Out(ifreq))
	if err := errors.Join(a.Run(ctx, &p), a.Exit(ctx)); err != nil {
		return false, err
	}
	return binary.NativeEndian.Uint16(ifreq.Bytes(18)[unix.IFNAMSIZ:])&unix.IFF_UP != 0, nil
}
