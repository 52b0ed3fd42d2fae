package topology

import (
	"strconv"
	"time"
)

// Header says who looked, when, through what, and what they could not see.
type Header struct {
	Version  int       // of the format
	Tool     string    // "renest 0.1.0"
	Created  time.Time // second resolution, UTC
	Hostname string
	BootID   string // /proc/sys/kernel/random/boot_id; ids are unique within one boot
	Kernel   string // release, as uname -r
	Source   string // "listns" or "proc"
	Root     int    // the pid whose tree was dumped, 0 for the whole host
	Complete bool
	Missing  []string // what could not be seen and why, one a line, sorted

	// Clocks are the host's at the time of the dump, to which the offsets of
	// time namespaces are; nil where unread.
	Clocks *TimeState
}

// Graph is a set of namespaces with their edges, and the tasks in them.
type Graph struct {
	Header     Header
	Namespaces []*Namespace // in creation order: an owner or a parent comes first
	Tasks      []*Task      // by pid, then tid
}

// Namespace is one node of a graph. It is named by Type and Ino; ID is unique
// for as long as the host is up, where the kernel gives one.
type Namespace struct {
	Type     Type
	Ino      uint64     // inode number on nsfs, recycled by the kernel
	ID       uint64     // ns id (NS_GET_ID, Linux 6.18), 0 where unknown
	Owner    *Namespace // owning user namespace, nil where out of sight
	Parent   *Namespace // next level up, user and pid only, nil where out of sight
	State    State
	External bool // not the dump's own: a restore binds it to one that is there
	Pins     []Pin

	// What the namespace itself holds, under its type. Nil where unread.
	User   *UserState
	UTS    *UTSState
	IPC    *IPCState
	Net    *NetState
	Time   *TimeState
	Cgroup *CgroupState
	PID    *PIDState
}

// Name returns the kernel's spelling: net:[4026531840].
func (n *Namespace) Name() string { return string(n.AppendName(make([]byte, 0, 32))) }

// AppendName appends the kernel's spelling to b.
func (n *Namespace) AppendName(b []byte) []byte {
	b = append(b, n.Type.String()...)
	b = append(b, ":["...)
	return append(strconv.AppendUint(b, n.Ino, 10), ']')
}

// UserState is what a user namespace holds. All ids outside are relative to the
// parent user namespace.
type UserState struct {
	OwnerUID  uint32 // euid of the creator
	UIDMap    []Extent
	GIDMap    []Extent
	ProjIDMap []Extent
	Setgroups string // "allow" or "deny"
	Sysctls   Sysctls
}

// Extent is one line of a uid_map or gid_map.
type Extent struct {
	Inside  uint32 `json:"inside"`  // first id in the namespace
	Outside uint32 `json:"outside"` // first id in its parent
	Count   uint32 `json:"count"`
}

// UTSState is what a UTS namespace holds.
type UTSState struct {
	NodeName   string `json:"nodename"`
	DomainName string `json:"domainname"`
}

// IPCState is what an ipc namespace holds, apart from its queues, semaphores and
// segments.
type IPCState struct {
	Sysctls Sysctls `json:"sysctls"`
}

// NetState is what a net namespace holds, apart from devices, addresses, routes
// and filters.
type NetState struct {
	Loopback bool    `json:"loopback"` // lo is up
	Sysctls  Sysctls `json:"sysctls"`
}

// TimeState is what a time namespace holds: offsets to the host's clocks.
type TimeState struct {
	Monotonic Offset `json:"monotonic"`
	Boottime  Offset `json:"boottime"`
}

// Offset is a clock offset; Nsec is in [0, 1e9).
type Offset struct {
	Sec  int64  `json:"sec"`
	Nsec uint32 `json:"nsec"`
}

// CgroupState is what a cgroup namespace holds.
type CgroupState struct {
	Root string `json:"root"` // path in the unified hierarchy, seen from the host's root
	// V1 says that in a hierarchy of version 1 its root is not that of the hierarchy.
	V1 bool `json:"v1,omitempty"`
}

// PIDState is what a pid namespace holds. Zero values are unknown.
type PIDState struct {
	Init    int `json:"init"`     // pid of its init, as the observer numbers it
	PIDMax  int `json:"pid_max"`  // kernel.pid_max of its own, which it has from Linux 6.14 on
	LastPID int `json:"last_pid"` // kernel.ns_last_pid, where CONFIG_CHECKPOINT_RESTORE gives it
}

// NoPIDMax is the pid_max of a pid namespace that sets none (PID_MAX_LIMIT,
// include/linux/threads.h).
const NoPIDMax = 4 << 20

// PinKind says what keeps a namespace alive.
type PinKind uint8

// The kinds of pin.
const (
	PinTask            PinKind = iota + 1 // a task is a member
	PinThread                             // a thread other than the leader is
	PinPIDForChildren                     // a task's children will be
	PinTimeForChildren                    // a task's children will be
	PinFD                                 // an open descriptor
	PinBind                               // a bind mount
	PinSocket                             // a socket of a net namespace
	PinChild                              // a child namespace
	PinOwned                              // an owned namespace
	PinInFlight                           // a descriptor in a message that waits in a socket's queue
)

// Pin is one thing that keeps a namespace alive. Which fields are set depends
// on Kind; the zero of the others.
type Pin struct {
	Kind PinKind
	PID  int        // task, thread, for_children, fd, socket, in flight
	TID  int        // thread; fd, socket, in flight: of a thread with descriptors of its own
	FD   int        // fd, socket, in flight: the socket's
	Path string     // bind
	Mnt  *Namespace // bind: the mount namespace it is mounted in
	NS   *Namespace // child, owned
}

// Task is a task, or a thread whose namespaces differ from its leader's.
type Task struct {
	PID        int
	TID        int   // differs from PID for a thread only
	NSPID      []int // its numbers at every level, the observer's first
	Comm       string
	Namespaces [NumLinks]*Namespace // nil where unread
}
