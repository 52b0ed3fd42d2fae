package restore

import (
	"fmt"

	"github.com/renest/renest/topology"
)

// refusesUser returns why an ordinary user cannot have the user namespace n, one
// of the outermost. By itself it may map one id, its own (new_idmap_permitted,
// kernel/user_namespace.c); newuidmap(1) maps what subuid(5) lends to it.
func (h *Host) refusesUser(n *topology.Namespace) []error {
	var errs []error
	if n.User.OwnerUID != h.UID {
		errs = append(errs, fmt.Errorf("%s belongs to uid %d, and you are uid %d: restore as that user, or as root, or move its ids (--id-range)", n.Name(), n.User.OwnerUID, h.UID))
	}
	for _, m := range []struct {
		kind, file string
		ids        []topology.Extent
		own        uint32
		lent       []IDRange
	}{
		{"uid", "/etc/subuid", n.User.UIDMap, h.UID, h.SubUIDs},
		{"gid", "/etc/subgid", n.User.GIDMap, h.GID, h.SubGIDs},
	} {
		if !helped(m.ids, m.own) {
			continue
		}
		if e, ok := stranger(m.ids, m.own, m.lent); ok {
			errs = append(errs, fmt.Errorf("%s maps %ss %s, which are not yours (you have %d%s): restore as root, have them lent to you in %s, or move them (--id-range)",
				n.Name(), m.kind, e, m.own, ranges(m.lent), m.file))
		} else if h.Helpers != nil {
			errs = append(errs, fmt.Errorf("%s maps %ss that are lent to you: %w", n.Name(), m.kind, h.Helpers))
		}
	}
	if len(n.User.GIDMap) > 0 && !helped(n.User.GIDMap, h.GID) && n.User.Setgroups != "deny" {
		errs = append(errs, fmt.Errorf("%s allows setgroups, which an ordinary user's namespace must not: restore as root", n.Name()))
	}
	return errs
}

// helped reports whether an ordinary user needs help to write m: only a single
// id, its own, it maps itself.
func helped(m []topology.Extent, own uint32) bool {
	return len(m) > 1 || len(m) == 1 && (m[0].Count != 1 || m[0].Outside != own)
}

// stranger returns the first extent of m with ids that are neither the user's own
// nor lent to it.
func stranger(m []topology.Extent, own uint32, lent []IDRange) (topology.Extent, bool) {
	for _, e := range m {
		mine := e.Count == 1 && e.Outside == own
		for _, r := range lent {
			mine = mine || r.has(e)
		}
		if !mine {
			return e, true
		}
	}
	return topology.Extent{}, false
}

// ranges lists what is lent, behind an own id.
func ranges(lent []IDRange) string {
	s := ""
	for i, r := range lent {
		if i == 3 {
			return s + " …"
		}
		s += " and " + r.String()
	}
	return s
}
