package dump

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// climb is a namespace and what is above it, found by descriptors alone: its
// owner, the ancestors of that, and of a pid namespace its own ancestors too. The
// target is held open meanwhile, and keeps all of them alive: their inode numbers
// are nobody else's.
type climb struct {
	target   *topology.Namespace
	users    map[uint64]*topology.Namespace // by inode number
	pids     map[uint64]*topology.Namespace // above a pid namespace, itself included
	creators map[*topology.Namespace]uint32
	overflow uint32 // the uid that may be anybody's, topology.NoID where there is none
}

// climbFrom climbs from an open namespace up to the user namespace with the inode
// number until, or as far as the caller sees: to its own.
func climbFrom(ns *nsfs.NS, until uint64) (*climb, error) {
	ref, err := ns.Ref()
	if err != nil {
		return nil, err
	}
	c := &climb{
		users:    make(map[uint64]*topology.Namespace, 4),
		creators: make(map[*topology.Namespace]uint32, 4),
		overflow: topology.NoID,
	}
	if ref.Type == nsfs.User {
		c.target, err = c.user(ns, ref.Ino, until)
		return c, err
	}
	c.target = &topology.Namespace{Type: typeOf(ref.Type), Ino: ref.Ino}
	if c.target.Owner, err = c.above(ns, until); err != nil {
		return nil, err
	}
	if ref.Type == nsfs.PID {
		c.pids = map[uint64]*topology.Namespace{ref.Ino: c.target}
		err = c.parents(ns)
	}
	return c, err
}

// above climbs to the owner of ns, nil where that is out of sight.
func (c *climb) above(ns *nsfs.NS, until uint64) (*topology.Namespace, error) {
	up, err := ns.Owner()
	if errors.Is(err, nsfs.ErrOutOfSight) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer up.Close()
	ino, err := up.Ino()
	if err != nil {
		return nil, err
	}
	return c.user(up, ino, until)
}

// user describes an open user namespace, and what is above it. The kernel nests
// 33 levels deep, which bounds the recursion.
func (c *climb) user(ns *nsfs.NS, ino, until uint64) (*topology.Namespace, error) {
	n := &topology.Namespace{Type: topology.User, Ino: ino}
	c.users[ino] = n
	if ino == until || ino == nsfs.InitUserIno {
		return n, nil
	}
	uid, err := ns.OwnerUID()
	if err != nil {
		return nil, err
	}
	c.creators[n] = uid
	n.Owner, err = c.above(ns, until)
	n.Parent = n.Owner
	return n, err
}

// parents climbs from a pid namespace to the caller's own.
func (c *climb) parents(ns *nsfs.NS) error {
	n := c.target
	up, err := ns.Parent()
	for err == nil {
		var ino uint64
		if ino, err = up.Ino(); err != nil {
			return errors.Join(err, up.Close())
		}
		n.Parent = &topology.Namespace{Type: topology.PID, Ino: ino}
		n = n.Parent
		c.pids[ino] = n
		from := up
		up, err = from.Parent()
		_ = from.Close()
	}
	if errors.Is(err, nsfs.ErrOutOfSight) {
		return nil
	}
	return err
}

// creator is the [topology.Creator] of a climb. What the kernel says of a creator
// is exact: nobody makes a user namespace whose uid has no number in that above
// (create_user_ns). What it says of a task's euid is not, where that is the
// overflow uid.
func (c *climb) creator(euid uint32) topology.Creator {
	return func(n *topology.Namespace) (uint32, bool) {
		uid, known := c.creators[n]
		return uid, known && (euid != c.overflow || uid != euid)
	}
}

// ambiguous reports whether a task's euid, which is that of some creator, may be
// the overflow uid. Who sees the initial user namespace is in it, and sees every
// uid as it is.
func (c *climb) ambiguous(euid uint32) bool {
	if c.users[nsfs.InitUserIno] != nil {
		return false
	}
	for _, uid := range c.creators {
		if uid == euid {
			return true
		}
	}
	return false
}

// readOverflow finds out which uid stands for those without a number. In the
// initial user namespace there are none.
func (c *climb) readOverflow(p *nsfs.Proc) error {
	self, err := p.Self()
	if err != nil {
		return err
	}
	defer self.Close()
	own, err := self.Ref(nsfs.InUser)
	if err != nil || own.Ino == nsfs.InitUserIno {
		return err
	}
	b, err := p.ReadFile("sys/kernel/overflowuid")
	if err != nil {
		c.overflow = nsfs.OverflowID // subset=pid hides it
		return nil
	}
	var uid uint64
	if _, err := fmt.Sscan(string(b), &uid); err != nil {
		return fmt.Errorf("read overflow uid %s: %w", strconv.Quote(string(b)), err)
	}
	c.overflow = uint32(uid)
	return nil
}
