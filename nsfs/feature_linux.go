package nsfs

import (
	"errors"

	"golang.org/x/sys/unix"
)

// The probes ask the kernel for what later versions of it have. Each answers nil
// (it is there), [ErrNotSupported] (it is not), or another error: it could not
// tell, and the answer may be another the next time. They cost a few system
// calls, keep nothing, and change nothing. What is the same for all types they ask
// of the caller's mount namespace, for which there is no CONFIG.

// HaveNSID asks for namespace ids: NS_GET_ID and nsfs file handles (Linux 6.18).
func HaveNSID(p *Proc) error {
	return probe(p, InMnt, func(ns *NS) error {
		_, err := ns.ID()
		return err
	})
}

// HaveListns asks for listns(2) (Linux 6.19). A seccomp filter that answers
// ENOSYS to what it does not know makes a kernel look older than it is.
func HaveListns() error {
	req := unix.NsIdReq{Size: unix.NS_ID_REQ_SIZE_VER0}
	_, err := unix.Listns(&req, nil, 0) // room for none: an empty answer
	if err != nil {
		return wrap("probe", "listns(2)", err, ioctlKind)
	}
	return nil
}

// HaveHandleByID asks whether an id alone opens a namespace (Linux 6.19), where
// [Handle] on 6.18 wants the type and the inode number with it.
func HaveHandleByID(p *Proc) error {
	return probe(p, InMnt, func(ns *NS) error {
		h, err := ns.Handle()
		if err != nil {
			return err
		}
		err = Handle{ID: h.ID}.Alive()
		if errors.Is(err, unix.ESTALE) { // the caller's own is always within reach
			return &Error{Op: "probe", Object: "handle by id", Kind: ErrNotSupported, Errno: unix.ESTALE}
		}
		return err
	})
}

// HavePIDTranslation asks for NS_GET_PID_FROM_PIDNS (Linux 6.11). Up to 6.19 the
// kernel answers ENOTTY both where it does not know the request and where there
// is no such pid; asked for a pid that exists, it tells.
func HavePIDTranslation(p *Proc) error {
	return probe(p, InPID, func(ns *NS) error {
		_, err := ioctlArg(ns.fd, unix.NS_GET_PID_IN_PIDNS, unix.Getpid())
		if err != nil {
			return wrap("probe", "NS_GET_PID_IN_PIDNS", err, ioctlKind)
		}
		return nil
	})
}

// HaveMountList asks for listmount(2) of a given mount namespace (Linux 6.11) and
// what that is given by (6.12).
func HaveMountList(p *Proc) error {
	return probe(p, InMnt, func(ns *NS) error {
		m, err := ns.Mounts()
		if err != nil {
			return err
		}
		if _, err := listmount(m.ID, 0, make([]uint64, 1)); err != nil {
			return wrap("probe", "listmount(2)", err, ioctlKind)
		}
		return nil
	})
}

// HavePIDFDNamespaces asks for PIDFD_GET_*_NAMESPACE (Linux 6.11).
func HavePIDFDNamespaces(p *Proc) error {
	self, err := p.Self()
	if err != nil {
		return err
	}
	defer self.Close()
	ns, err := self.OpenByPIDFD(InMnt)
	if err != nil {
		return err
	}
	return ns.Close()
}

// HaveTime asks for time namespaces (Linux 5.6, CONFIG_TIME_NS).
func HaveTime(p *Proc) error {
	self, err := p.Self()
	if err != nil {
		return err
	}
	defer self.Close()
	if _, err := self.Ref(InTime); errors.Is(err, unix.ENOENT) {
		return &Error{Op: "probe", Object: "time namespaces", Kind: ErrNotSupported, Errno: unix.ENOENT}
	} else if err != nil {
		return err
	}
	return nil
}

// probe asks ask of one of the caller's own namespaces.
func probe(p *Proc, l Link, ask func(*NS) error) error {
	self, err := p.Self()
	if err != nil {
		return err
	}
	defer self.Close()
	ns, err := self.Open(l)
	if err != nil {
		return err
	}
	defer ns.Close()
	return ask(ns)
}
