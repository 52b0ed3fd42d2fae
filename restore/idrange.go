package restore

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/renest/renest/topology"
)

// IDRange is a range of user and of group ids.
type IDRange struct{ First, Count uint32 }

// ParseIDRange reads FIRST:COUNT. The error is about its form.
func ParseIDRange(s string) (IDRange, error) {
	first, count, ok := strings.Cut(s, ":")
	f, ferr := strconv.ParseUint(first, 10, 32)
	c, cerr := strconv.ParseUint(count, 10, 32)
	switch {
	case !ok || ferr != nil || cerr != nil:
		return IDRange{}, fmt.Errorf("id range %q: want FIRST:COUNT, such as 200000:65536", s)
	case c == 0:
		return IDRange{}, fmt.Errorf("id range %q: it is empty", s)
	case f+c > uint64(topology.NoID):
		return IDRange{}, fmt.Errorf("id range %q: ids end at %d", s, topology.NoID-1)
	}
	return IDRange{uint32(f), uint32(c)}, nil
}

// String returns the range as ParseIDRange reads it.
func (r IDRange) String() string { return fmt.Sprintf("%d:%d", r.First, r.Count) }

// has reports whether r has all ids that e maps to.
func (r IDRange) has(e topology.Extent) bool {
	return e.Outside >= r.First && uint64(e.Outside)+uint64(e.Count) <= uint64(r.First)+uint64(r.Count)
}

// moveIDs has the outermost user namespaces of g map ids of r in place of those
// that they map. The ids they map are put into r one behind the other, in their
// order: what two of them share they share afterwards, and what they do not they
// do not. All maps further down are relative to these, and stay. Project ids are
// nobody's, and stay too.
//
// The creator's uid is moved with the ids where it is among them. Otherwise, as
// on this host it may be anyone's, the caller is the creator.
//
// An ordinary user's own id is no part of a range: where the creator mapped its
// own, a single one, the caller's takes its place.
func moveIDs(g *topology.Graph, r IDRange, o PlanOptions) error {
	var outermost []*topology.Namespace
	for _, n := range g.Namespaces {
		if n.Type == topology.User && !n.External && n.User != nil && n.Parent != nil && n.Parent.External {
			outermost = append(outermost, n)
		}
	}
	uids, gids := idMover{to: r}, idMover{to: r}
	for _, n := range outermost {
		uid, gid := ownIDs(n.User, o)
		uids.add(n.User.UIDMap, uid, o.UID)
		gids.add(n.User.GIDMap, gid, o.GID)
	}
	err := errors.Join(uids.pack("uids"), gids.pack("gids"))
	if err != nil {
		return err
	}
	for _, n := range outermost {
		uid, ok := uids.move(n.User.OwnerUID)
		if !ok || !o.Privileged {
			uid = o.UID
		}
		n.User.OwnerUID = uid
	}
	uids.apply()
	gids.apply()
	return nil
}

// ownIDs returns which extents of the maps are the creator's own ids, none as
// -1. The creator's gid is nowhere to be read; it is taken to be where the uid
// is.
func ownIDs(u *topology.UserState, o PlanOptions) (uid, gid int) {
	uid, gid = -1, -1
	if o.Privileged {
		return
	}
	for i, e := range u.UIDMap {
		if e.Count == 1 && e.Outside == u.OwnerUID {
			uid = i
		}
	}
	for i, e := range u.GIDMap {
		if uid >= 0 && e.Count == 1 && e.Inside == u.UIDMap[uid].Inside {
			gid = i
		}
	}
	return
}

// idMover moves ids of one kind.
type idMover struct {
	to IDRange
	// extents are those to be moved, own those that become an id of the
	// caller's.
	extents, own []*topology.Extent
	ownID        uint32
	spans        []idSpan
}

// idSpan is a range of ids that stay together.
type idSpan struct {
	first, end uint64
	to         uint64
}

// add adds the extents of a map, of which the one numbered own becomes id.
func (m *idMover) add(extents []topology.Extent, own int, id uint32) {
	m.ownID = id
	for i := range extents {
		if i == own {
			m.own = append(m.own, &extents[i])
		} else {
			m.extents = append(m.extents, &extents[i])
		}
	}
}

// pack finds a place for every id.
func (m *idMover) pack(kind string) error {
	for _, e := range m.extents {
		m.spans = append(m.spans, idSpan{first: uint64(e.Outside), end: uint64(e.Outside) + uint64(e.Count)})
	}
	slices.SortFunc(m.spans, func(a, b idSpan) int { return cmp.Compare(a.first, b.first) })
	joined := m.spans[:0]
	for _, s := range m.spans {
		if last := len(joined) - 1; last >= 0 && s.first <= joined[last].end {
			joined[last].end = max(joined[last].end, s.end)
		} else {
			joined = append(joined, s)
		}
	}
	m.spans = joined
	need := uint64(0)
	for i := range m.spans {
		s := &m.spans[i]
		s.to = uint64(m.to.First) + need
		need += s.end - s.first
	}
	if need > uint64(m.to.Count) {
		return fmt.Errorf("the id range %s has %d ids, the image needs %d %s: give a larger one", m.to, m.to.Count, need, kind)
	}
	return nil
}

// move returns what becomes of an id, and false of one that no map has.
func (m *idMover) move(id uint32) (uint32, bool) {
	if slices.ContainsFunc(m.own, func(e *topology.Extent) bool { return e.Outside == id }) {
		return m.ownID, true
	}
	return m.place(id)
}

// place returns where in the range an id comes to lie.
func (m *idMover) place(id uint32) (uint32, bool) {
	i, ok := slices.BinarySearchFunc(m.spans, uint64(id), func(s idSpan, id uint64) int {
		if id < s.end && id >= s.first {
			return 0
		}
		return cmp.Compare(s.first, id)
	})
	if !ok {
		return 0, false
	}
	return uint32(m.spans[i].to + uint64(id) - m.spans[i].first), true
}

// apply changes the extents. What move says is not so afterwards.
func (m *idMover) apply() {
	for _, e := range m.extents {
		e.Outside, _ = m.place(e.Outside)
	}
	for _, e := range m.own {
		e.Outside = m.ownID
	}
}
