package nsfs

import (
	"errors"

	"golang.org/x/sys/unix"
)

// MountNS is what the kernel tells of an open mount namespace.
type MountNS struct {
	ID     uint64 // that listmount(2) takes
	Mounts int    // how many there are; the one below all others, which no task sees, may be among them
}

// BindsNone reports whether a mount namespace is known to have no bind mount of a
// namespace, wherever the root directories of its tasks are, with two short calls
// for each mount instead of a line of text (listmount(2) and statmount(2) with a
// namespace, Linux 6.11). It takes CAP_SYS_ADMIN in the user namespace that owns
// it. False may mean no more than that it is not known: [Task.Binds] tells.
func (m MountNS) BindsNone() bool {
	if m.ID == 0 {
		return false
	}
	var ids [256]uint64
	var seen int
	var last uint64
	for {
		n, err := listmount(m.ID, last, ids[:])
		if err != nil {
			return false
		}
		for _, id := range ids[:n] {
			// What is gone meanwhile is no mount.
			magic, err := mountMagic(m.ID, id)
			if err != nil && !errors.Is(err, unix.ENOENT) || magic == unix.NSFS_MAGIC {
				return false
			}
		}
		if seen += n; n < len(ids) {
			// It lists those below the first that is mounted on the lowest
			// (grab_requested_root, fs/namespace.c), which mostly is all.
			return seen+1 >= m.Mounts
		}
		last = ids[n-1]
	}
}
