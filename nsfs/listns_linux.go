package nsfs

import (
	"iter"

	"golang.org/x/sys/unix"
)

// Query says which namespaces [List] asks for.
type Query struct {
	Types Type // a set of types; zero is all of them
	Owner ID   // only those that this user namespace owns directly; zero is all
}

// CurrentUser as a Query's Owner is the caller's own user namespace
// (LISTNS_CURRENT_USER).
const CurrentUser = ID(unix.LISTNS_CURRENT_USER)

// List iterates over the ids of the active namespaces, in ascending order
// (listns(2), Linux 6.19; [ErrNotSupported] before), which from 6.19 is an order
// of creation: an owner and a parent come before what they own. An error ends
// it.
//
// What the caller may not see is left out in silence, see [SeesAll]. So are
// namespaces that are alive and inactive: one that only a socket holds, or a pid
// namespace that only its child holds. An owner that does not exist, is inactive
// or is no user namespace gives EINVAL.
//
// The whole list is fetched at once while it has fewer than a million entries.
// To continue from a cursor is not only slower: up to 7.2, a namespace that dies
// right after the cursor ends the list early (do_listns, kernel/nstree.c).
//
// To ask many times, use a [Lister].
func List(q Query) iter.Seq2[ID, error] { return new(Lister).List(q) }

// Lister is [List] with a memory that is used again. The zero value is ready; it
// answers one question at a time.
type Lister struct{ buf []uint64 }

// List is [List]. What it returns is over before the next call.
func (l *Lister) List(q Query) iter.Seq2[ID, error] {
	return l.list(q, func(req *unix.NsIdReq, ids []uint64) (int, error) {
		return unix.Listns(req, ids, 0)
	})
}

const (
	listFirst = 1 << 12   // ids asked for in the first call
	listMax   = 1_000_000 // the kernel refuses more, with EOVERFLOW
)

// list is List over a kernel that a test may replace.
func (l *Lister) list(q Query, listns func(*unix.NsIdReq, []uint64) (int, error)) iter.Seq2[ID, error] {
	return func(yield func(ID, error) bool) {
		req := unix.NsIdReq{
			Size:       unix.NS_ID_REQ_SIZE_VER0,
			Ns_type:    uint32(q.Types),
			User_ns_id: uint64(q.Owner),
		}
		if l.buf == nil {
			l.buf = make([]uint64, listFirst)
		}
		for {
			n, err := listns(&req, l.buf)
			switch {
			case err == unix.EINTR:
				continue
			case err == unix.ENOENT: // nothing after the cursor: the end
				return
			case err != nil:
				yield(0, wrap("list namespaces", "listns(2)", err, ioctlKind))
				return
			case n == len(l.buf) && n < listMax: // from the start, with more room
				l.buf = make([]uint64, min(8*len(l.buf), listMax))
				continue
			}
			for _, id := range l.buf[:n] {
				if !yield(ID(id), nil) {
					return
				}
			}
			if n < len(l.buf) {
				return
			}
			req.Ns_id = l.buf[n-1]
		}
	}
}
