package images

import (
	"google.golang.org/protobuf/proto"

	pb "github.com/renest/renest/images/internal/nstreepb"
	"github.com/renest/renest/topology"
)

// From the graph to messages. The numbers of types, states and kinds of pin are
// the format's, and topology's are the same; a test keeps them so.

func packHeader(h *topology.Header) *pb.Header {
	m := &pb.Header{
		Version:  Version,
		Tool:     []byte(h.Tool),
		Hostname: []byte(h.Hostname),
		BootId:   []byte(h.BootID),
		Kernel:   []byte(h.Kernel),
		Source:   []byte(h.Source),
		Root:     uint32(h.Root),
		Complete: h.Complete,
	}
	if !h.Created.IsZero() {
		m.Created = proto.Int64(h.Created.Unix())
	}
	if h.Clocks != nil {
		m.Clocks = packTime(h.Clocks)
	}
	for _, line := range h.Missing {
		m.Missing = append(m.Missing, []byte(line))
	}
	return m
}

// packNamespace leaves out the edges and pins, which refer to others.
func packNamespace(n *topology.Namespace) *pb.Namespace {
	m := &pb.Namespace{
		Type:     pb.NamespaceType(n.Type),
		Ino:      n.Ino,
		Id:       n.ID,
		State:    pb.State(n.State),
		External: n.External,
	}
	if n.User != nil {
		m.User = packUser(n.User)
	}
	if n.UTS != nil {
		m.Uts = &pb.UTSState{Nodename: []byte(n.UTS.NodeName), Domainname: []byte(n.UTS.DomainName)}
	}
	if n.Time != nil {
		m.Time = packTime(n.Time)
	}
	if n.IPC != nil {
		m.Ipc = &pb.IPCState{Sysctls: packSysctls(n.IPC.Sysctls)}
	}
	if n.Net != nil {
		m.Net = &pb.NetState{Loopback: n.Net.Loopback, Sysctls: packSysctls(n.Net.Sysctls)}
	}
	if n.Cgroup != nil {
		m.Cgroup = &pb.CgroupState{Root: []byte(n.Cgroup.Root), V1: n.Cgroup.V1}
	}
	if n.PID != nil {
		m.Pid = &pb.PIDState{Init: uint32(n.PID.Init), PidMax: uint32(n.PID.PIDMax), LastPid: uint32(n.PID.LastPID)}
	}
	return m
}

func packUser(u *topology.UserState) *pb.UserState {
	m := &pb.UserState{
		OwnerUid: u.OwnerUID, UidMap: packMap(u.UIDMap), GidMap: packMap(u.GIDMap), ProjidMap: packMap(u.ProjIDMap),
		Sysctls: packSysctls(u.Sysctls),
	}
	switch u.Setgroups {
	case "allow":
		m.Setgroups = pb.Setgroups_ALLOW
	case "deny":
		m.Setgroups = pb.Setgroups_DENY
	}
	return m
}

func packMap(extents []topology.Extent) []*pb.Extent {
	m := make([]*pb.Extent, len(extents))
	for i, x := range extents {
		m[i] = &pb.Extent{Inside: x.Inside, Outside: x.Outside, Count: x.Count}
	}
	return m
}

func packSysctls(s topology.Sysctls) []*pb.Sysctl {
	m := make([]*pb.Sysctl, len(s))
	for i, x := range s {
		m[i] = &pb.Sysctl{Name: []byte(x.Name), Value: []byte(x.Value)}
	}
	return m
}

func packTime(t *topology.TimeState) *pb.TimeState {
	return &pb.TimeState{Monotonic: packOffset(t.Monotonic), Boottime: packOffset(t.Boottime)}
}

func packOffset(o topology.Offset) *pb.Offset {
	if o == (topology.Offset{}) {
		return nil
	}
	return &pb.Offset{Sec: o.Sec, Nsec: o.Nsec}
}

// packPin leaves out the namespaces referred to.
func packPin(p *topology.Pin) *pb.Pin {
	return &pb.Pin{
		Kind: pb.PinKind(p.Kind),
		Pid:  uint32(p.PID),
		Tid:  uint32(p.TID),
		Fd:   uint32(p.FD),
		Path: []byte(p.Path),
	}
}

// packTask leaves out the namespaces.
func packTask(t *topology.Task) *pb.Task {
	m := &pb.Task{Pid: uint32(t.PID), Tid: uint32(t.TID), Comm: []byte(t.Comm)}
	for _, n := range t.NSPID {
		m.Nspid = append(m.Nspid, uint32(n))
	}
	return m
}
