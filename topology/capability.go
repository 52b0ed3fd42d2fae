package topology

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// Cap is a capability by its number. See capabilities(7).
type Cap uint8

// The capabilities that rules name (include/uapi/linux/capability.h).
const (
	CapSysChroot Cap = 18
	CapSysAdmin  Cap = 21
)

// capNames are the capabilities without CAP_, in the order of their numbers, as
// of Linux 5.9; none was added since, up to 7.3.
var capNames = [...]string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
	"SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
	"SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
	"SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
	"MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
	"CHECKPOINT_RESTORE",
}

// String returns the name, CAP_NET_ADMIN; of one without a name the number, as
// capsh(1) prints it.
func (c Cap) String() string {
	if int(c) >= len(capNames) {
		return strconv.Itoa(int(c))
	}
	return "CAP_" + capNames[c]
}

// ParseCap reads the name of a capability in any case, with CAP_ or without, or
// its number.
func ParseCap(s string) (Cap, error) {
	name := strings.TrimPrefix(strings.ToUpper(s), "CAP_")
	for i, n := range capNames {
		if n == name {
			return Cap(i), nil
		}
	}
	if n, err := strconv.ParseUint(s, 10, 6); err == nil {
		return Cap(n), nil
	}
	return 0, fmt.Errorf("unknown capability %q (capabilities(7) has them, such as CAP_NET_ADMIN)", clip(s, 40))
}

// CapSet is a set of capabilities, bit by bit, as the Cap lines of
// /proc/PID/status are.
type CapSet uint64

// AllCaps holds every capability that has a name.
const AllCaps CapSet = 1<<len(capNames) - 1

// CapSetOf returns the set of the capabilities given.
func CapSetOf(caps ...Cap) CapSet {
	var s CapSet
	for _, c := range caps {
		s |= 1 << c
	}
	return s
}

// Has reports whether c is in s.
func (s CapSet) Has(c Cap) bool { return c < 64 && s>>c&1 == 1 }

// Len returns how many capabilities s has.
func (s CapSet) Len() int { return bits.OnesCount64(uint64(s)) }

// Caps returns the capabilities in s by number.
func (s CapSet) Caps() []Cap {
	caps := make([]Cap, 0, s.Len())
	for ; s != 0; s &= s - 1 {
		caps = append(caps, Cap(bits.TrailingZeros64(uint64(s))))
	}
	return caps
}

// String lists the names, separated by commas; "none", "all", and "all but"
// those that are fewer.
func (s CapSet) String() string {
	switch {
	case s == 0:
		return "none"
	case s == AllCaps:
		return "all"
	case s&^AllCaps == 0 && s.Len() > len(capNames)/2:
		return "all but " + (AllCaps &^ s).String()
	}
	var b strings.Builder
	for i, c := range s.Caps() {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(c.String())
	}
	return b.String()
}
