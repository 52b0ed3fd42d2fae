package images

import (
	"time"

	pb "github.com/renest/renest/images/internal/nstreepb"
	"github.com/renest/renest/topology"
)

// From messages to the graph: nothing is judged here, but the checks of
// limits.go find what is wrong in what comes out. A number too large for its
// type is therefore made one that is wrong, not one that is right.

func unpackHeader(m *pb.Header) topology.Header {
	h := topology.Header{
		Version:  int(m.GetVersion()),
		Tool:     string(m.GetTool()),
		Hostname: string(m.GetHostname()),
		BootID:   string(m.GetBootId()),
		Kernel:   string(m.GetKernel()),
		Source:   string(m.GetSource()),
		Root:     int(m.GetRoot()),
		Complete: m.GetComplete(),
	}
	if m.Created != nil {
		h.Created = time.Unix(m.GetCreated(), 0).UTC()
	}
	if c := m.GetClocks(); c != nil {
		h.Clocks = unpackTime(c)
	}
	for _, line := range m.GetMissing() {
		h.Missing = append(h.Missing, string(line))
	}
	return h
}

// unpackNamespace leaves out the edges and pins, which refer to others.
func unpackNamespace(m *pb.Namespace) *topology.Namespace {
	n := &topology.Namespace{
		Type:     topology.Type(narrow(int32(m.GetType()))),
		Ino:      m.GetIno(),
		ID:       m.GetId(),
		State:    topology.State(narrow(int32(m.GetState()))),
		External: m.GetExternal(),
	}
	if u := m.GetUser(); u != nil {
		n.User = unpackUser(u)
	}
	if u := m.GetUts(); u != nil {
		n.UTS = &topology.UTSState{NodeName: string(u.GetNodename()), DomainName: string(u.GetDomainname())}
	}
	if t := m.GetTime(); t != nil {
		n.Time = unpackTime(t)
	}
	if i := m.GetIpc(); i != nil {
		n.IPC = &topology.IPCState{Sysctls: unpackSysctls(i.GetSysctls())}
	}
	if t := m.GetNet(); t != nil {
		n.Net = &topology.NetState{Loopback: t.GetLoopback(), Sysctls: unpackSysctls(t.GetSysctls())}
	}
	if c := m.GetCgroup(); c != nil {
		n.Cgroup = &topology.CgroupState{Root: string(c.GetRoot()), V1: c.GetV1()}
	}
	if p := m.GetPid(); p != nil {
		n.PID = &topology.PIDState{Init: int(p.GetInit()), PIDMax: int(p.GetPidMax()), LastPID: int(p.GetLastPid())}
	}
	return n
}

func unpackUser(m *pb.UserState) *topology.UserState {
	u := &topology.UserState{
		OwnerUID: m.GetOwnerUid(), UIDMap: unpackMap(m.GetUidMap()), GIDMap: unpackMap(m.GetGidMap()),
		ProjIDMap: unpackMap(m.GetProjidMap()), Sysctls: unpackSysctls(m.GetSysctls()),
	}
	switch m.GetSetgroups() {
	case pb.Setgroups_UNREAD:
	case pb.Setgroups_ALLOW:
		u.Setgroups = "allow"
	case pb.Setgroups_DENY:
		u.Setgroups = "deny"
	default:
		u.Setgroups = m.GetSetgroups().String()
	}
	return u
}

func unpackMap(m []*pb.Extent) []topology.Extent {
	if len(m) == 0 {
		return nil
	}
	extents := make([]topology.Extent, len(m))
	for i, x := range m {
		extents[i] = topology.Extent{Inside: x.GetInside(), Outside: x.GetOutside(), Count: x.GetCount()}
	}
	return extents
}

func unpackSysctls(m []*pb.Sysctl) topology.Sysctls {
	if len(m) == 0 {
		return nil
	}
	s := make(topology.Sysctls, len(m))
	for i, x := range m {
		s[i] = topology.Sysctl{Name: string(x.GetName()), Value: string(x.GetValue())}
	}
	return s
}

func unpackTime(m *pb.TimeState) *topology.TimeState {
	return &topology.TimeState{Monotonic: unpackOffset(m.GetMonotonic()), Boottime: unpackOffset(m.GetBoottime())}
}

func unpackOffset(m *pb.Offset) topology.Offset {
	return topology.Offset{Sec: m.GetSec(), Nsec: m.GetNsec()}
}

// unpackPin leaves out the namespaces referred to.
func unpackPin(m *pb.Pin) topology.Pin {
	return topology.Pin{
		Kind: topology.PinKind(narrow(int32(m.GetKind()))),
		PID:  int(m.GetPid()),
		TID:  int(m.GetTid()),
		FD:   int(m.GetFd()),
		Path: string(m.GetPath()),
	}
}

// unpackTask leaves out the namespaces.
func unpackTask(m *pb.Task) *topology.Task {
	t := &topology.Task{PID: int(m.GetPid()), TID: int(m.GetTid()), Comm: string(m.GetComm())}
	for _, n := range m.GetNspid() {
		t.NSPID = append(t.NSPID, int(n))
	}
	return t
}

// narrow makes a byte of an enum's number, of one beyond a byte the largest.
func narrow(n int32) uint8 {
	if n < 0 || n > 255 {
		return 255
	}
	return uint8(n)
}
