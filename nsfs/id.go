//go:build linux

package nsfs

import "strconv"

// ID is the number the kernel gives to a namespace, once per boot and never
// again, unlike an inode number. The zero ID is none. See NS_GET_ID.
type ID uint64

// The ids of the initial namespaces, fixed from Linux 6.19 (enum init_ns_id,
// include/uapi/linux/nsfs.h). On 6.18 they are other small numbers.
const (
	InitIPC    ID = 1
	InitUTS    ID = 2
	InitUser   ID = 3
	InitPID    ID = 4
	InitCgroup ID = 5
	InitTime   ID = 6
	InitNet    ID = 7
	InitMnt    ID = 8
)

// The inode numbers of the initial namespaces, fixed since Linux 3.8 for uts,
// ipc, user and pid, 4.6 for cgroup, 5.6 for time, and 6.19 for net and mnt
// (enum init_ns_ino).
const (
	InitIPCIno    = 0xEFFFFFFF
	InitUTSIno    = 0xEFFFFFFE
	InitUserIno   = 0xEFFFFFFD
	InitPIDIno    = 0xEFFFFFFC
	InitCgroupIno = 0xEFFFFFFB
	InitTimeIno   = 0xEFFFFFFA
)

// String returns the id as nsenter(1) writes it, ":42".
func (id ID) String() string { return ":" + strconv.FormatUint(uint64(id), 10) }
