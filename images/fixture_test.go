package images

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/renest/renest/topology"
)

// full returns a graph in which every field of every type has a value in one
// place at least; TestFixtureIsFull sees to that.
func full() *topology.Graph {
	host := &topology.Namespace{
		Type: topology.User, Ino: 4026531837, ID: 3, External: true,
		User: &topology.UserState{
			UIDMap: []topology.Extent{{Inside: 0, Outside: 0, Count: 1<<32 - 1}},
			GIDMap: []topology.Extent{{Inside: 0, Outside: 0, Count: 1<<32 - 1}},
		},
	}
	hostPID := &topology.Namespace{Type: topology.PID, Ino: 4026531836, ID: 4, Owner: host, External: true}
	hostMnt := &topology.Namespace{Type: topology.Mnt, Ino: 4026531832, ID: 8, Owner: host, External: true}
	user := &topology.Namespace{
		Type: topology.User, Ino: 4026532181, ID: 812, Owner: host, Parent: host,
		User: &topology.UserState{
			OwnerUID:  1000,
			UIDMap:    []topology.Extent{{Inside: 0, Outside: 100000, Count: 65536}, {Inside: 70000, Outside: 1000, Count: 1}},
			GIDMap:    []topology.Extent{{Inside: 1, Outside: 100001, Count: 9}},
			ProjIDMap: []topology.Extent{{Inside: 2, Outside: 3, Count: 4}},
			Setgroups: "deny",
			Sysctls:   topology.Sysctls{{Name: "user.max_net_namespaces", Value: "5"}},
		},
	}
	mnt := &topology.Namespace{Type: topology.Mnt, Ino: 4026532182, ID: 813, Owner: user}
	uts := &topology.Namespace{
		Type: topology.UTS, Ino: 4026532183, ID: 814, Owner: user, State: topology.Hidden,
		UTS: &topology.UTSState{NodeName: "inner\xff", DomainName: "(none)"},
	}
	ipc := &topology.Namespace{
		Type: topology.IPC, Ino: 4026532184, ID: 815, Owner: user,
		IPC: &topology.IPCState{Sysctls: topology.Sysctls{{Name: "kernel.msg_next_id", Value: "-1"}, {Name: "kernel.sem", Value: "1 2 3 4"}}},
	}
	pid := &topology.Namespace{
		Type: topology.PID, Ino: 4026532185, ID: 816, Owner: user, Parent: hostPID,
		PID: &topology.PIDState{Init: 4711, PIDMax: 4194304, LastPID: 12},
	}
	dead := &topology.Namespace{Type: topology.PID, Ino: 4026532186, Owner: user, Parent: pid, State: topology.Dead}
	unborn := &topology.Namespace{Type: topology.PID, Ino: 4026532187, Owner: user, Parent: pid, State: topology.Unborn}
	cgroup := &topology.Namespace{
		Type: topology.Cgroup, Ino: 4026532188, Owner: user,
		Cgroup: &topology.CgroupState{Root: "/a b/\xfe", V1: true},
	}
	net := &topology.Namespace{
		Type: topology.Net, Ino: 4026532189, Owner: user,
		Net: &topology.NetState{Loopback: true, Sysctls: topology.Sysctls{{Name: "net.ipv4.ip_forward", Value: "1"}}},
	}
	clock := &topology.Namespace{
		Type: topology.Time, Ino: 4026532190, Owner: user,
		Time: &topology.TimeState{
			Monotonic: topology.Offset{Sec: -86400, Nsec: 999999999},
			Boottime:  topology.Offset{Sec: 1 << 31, Nsec: 1},
		},
	}
	later := &topology.Namespace{Type: topology.Time, Ino: 4026532191, Owner: user, Time: &topology.TimeState{}}

	user.Pins = []topology.Pin{{Kind: topology.PinOwned, NS: net}, {Kind: topology.PinTask, PID: 4711}}
	pid.Pins = []topology.Pin{{Kind: topology.PinChild, NS: dead}}
	net.Pins = []topology.Pin{
		{Kind: topology.PinThread, PID: 4711, TID: 4713},
		{Kind: topology.PinFD, PID: 9, FD: 3},
		{Kind: topology.PinBind, Path: "/run/netns/x\n\xff", Mnt: mnt},
		{Kind: topology.PinSocket, PID: 9, FD: 4},
	}
	uts.Pins = []topology.Pin{{Kind: topology.PinBind, Path: "/y", Mnt: hostMnt}}
	unborn.Pins = []topology.Pin{{Kind: topology.PinPIDForChildren, PID: 4711}}
	later.Pins = []topology.Pin{{Kind: topology.PinTimeForChildren, PID: 4711}}

	return &topology.Graph{
		Header: topology.Header{
			Version:  Version,
			Tool:     "renest 0.1.0",
			Created:  time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC),
			Hostname: "h\xe9",
			BootID:   "5e2bf3a6-30a5-4a1c-9d6b-3f0b6b4c4a4f",
			Kernel:   "6.18.44",
			Source:   "proc",
			Root:     4711,
			Complete: true,
			Clocks:   &topology.TimeState{Monotonic: topology.Offset{Sec: 9, Nsec: 8}, Boottime: topology.Offset{Sec: 10}},
			Missing:  []string{"/proc/1/ns/user: permission denied", "task 7: vanished"},
		},
		Namespaces: []*topology.Namespace{
			host, hostPID, hostMnt, user, mnt, uts, ipc, pid, dead, unborn, cgroup, net, clock, later,
		},
		Tasks: []*topology.Task{
			{
				PID: 4711, TID: 4711, NSPID: []int{4711, 1}, Comm: "sh\xff",
				Namespaces: [topology.NumLinks]*topology.Namespace{user, mnt, uts, ipc, pid, cgroup, net, clock, unborn, later},
			},
			{
				PID: 4711, TID: 4713, NSPID: []int{4713, 3}, Comm: "thread",
				Namespaces: [topology.NumLinks]*topology.Namespace{topology.InNet: net},
			},
			{PID: 4712, TID: 4712, Comm: "zombie"},
		},
	}
}

// small returns a graph whose image is short enough to be damaged in every way.
func small() *topology.Graph {
	user := &topology.Namespace{Type: topology.User, Ino: 4026531837, External: true}
	net := &topology.Namespace{
		Type: topology.Net, Ino: 4026532189, Owner: user,
		Pins: []topology.Pin{{Kind: topology.PinTask, PID: 7}},
	}
	return &topology.Graph{
		Header:     topology.Header{Version: Version, Tool: "renest", Kernel: "6.18", Complete: true},
		Namespaces: []*topology.Namespace{user, net},
		Tasks: []*topology.Task{
			{PID: 7, TID: 7, NSPID: []int{7}, Comm: "sh", Namespaces: [topology.NumLinks]*topology.Namespace{user, topology.InNet: net}},
		},
	}
}

// sandboxes returns the host's eight namespaces and so many trees of a user,
// pid, uts, ipc and mnt namespace, the shape of a host full of containers.
func sandboxes(trees int) *topology.Graph {
	g := &topology.Graph{Header: topology.Header{Version: Version, Tool: "renest 0.1.0", Complete: true}}
	ino, id := uint64(4026531837), uint64(1)
	add := func(n *topology.Namespace) *topology.Namespace {
		n.Ino, n.ID = ino, id
		ino, id = ino+1, id+1
		g.Namespaces = append(g.Namespaces, n)
		return n
	}
	host := add(&topology.Namespace{Type: topology.User, External: true})
	hostPID := host
	for _, t := range topology.Types[1:] {
		n := add(&topology.Namespace{Type: t, Owner: host, External: true})
		if t == topology.PID {
			hostPID = n
		}
	}
	for range trees {
		user := add(&topology.Namespace{
			Type: topology.User, Owner: host, Parent: host,
			User: &topology.UserState{OwnerUID: 1000, Setgroups: "deny"},
		})
		add(&topology.Namespace{Type: topology.Mnt, Owner: user})
		add(&topology.Namespace{
			Type: topology.UTS, Owner: user,
			UTS: &topology.UTSState{NodeName: "sandbox-0123456789ab", DomainName: "(none)"},
		})
		add(&topology.Namespace{Type: topology.IPC, Owner: user})
		add(&topology.Namespace{
			Type: topology.PID, Owner: user, Parent: hostPID,
			PID: &topology.PIDState{Init: 100000, PIDMax: 4194304, LastPID: 30000},
		})
	}
	return g
}

// hub returns a net namespace with so many bind mounts on long paths that its
// pins take several entries.
func hub(pins int) *topology.Graph {
	g := small()
	net := g.Namespaces[1]
	for range pins {
		net.Pins = append(net.Pins, topology.Pin{Kind: topology.PinBind, Path: "/" + strings.Repeat("p", 4000)})
	}
	return g
}

// encoded returns the image of g.
func encoded(t testing.TB, g *topology.Graph) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Encode(&b, g); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
