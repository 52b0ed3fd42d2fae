package nsfs

import (
	"errors"

	"golang.org/x/sys/unix"
)

// SeesAll reports whether the kernel shows the calling process every active
// namespace, in listns(2) and by handle. Where not, it shows the caller's own
// eight, and says so to nobody.
//
// The rule is may_see_all_namespaces (kernel/nscommon.c), from 6.19.14 and 7.0:
// the active pid namespace is the initial one, and CAP_SYS_ADMIN is effective in
// the initial user namespace. Earlier kernels were laxer: from them the caller
// may get more than it was told.
func SeesAll(p *Proc) (bool, error) {
	self, err := p.Self()
	if err != nil {
		return false, err
	}
	defer self.Close()
	for l, initial := range map[Link]uint64{InPID: InitPIDIno, InUser: InitUserIno} {
		ref, err := self.Ref(l)
		switch {
		case errors.Is(err, ErrGone): // a kernel without the type: all are in one
		case err != nil:
			return false, err
		case ref.Ino != initial:
			return false, nil
		}
	}
	return HasCapability(unix.CAP_SYS_ADMIN)
}

// HasCapability reports whether the calling thread has a capability (CAP_*)
// effective in its own user namespace. See capget(2).
func HasCapability(capability int) (bool, error) {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return false, wrap("read capabilities of", "self", err, fileKind)
	}
	return data[capability/32].Effective>>(capability%32)&1 == 1, nil
}
