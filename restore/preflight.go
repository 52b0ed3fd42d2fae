package restore

import (
	"errors"
	"fmt"
	"slices"

	"github.com/renest/renest/topology"
)

// Preflight returns every reason why host cannot carry out plan, joined; nil
// where none is known beforehand. It is pure.
func Preflight(plan *Plan, host *Host) error {
	errs := slices.Clone(host.Obstacles)
	count := map[topology.Type]int{}
	for _, n := range plan.Made() {
		count[n.Type]++
		errs = append(errs, host.refuses(n)...)
	}
	errs = append(errs, host.bindings(plan)...)
	errs = append(errs, host.pins(plan)...)
	errs = append(errs, host.pids(plan)...)
	for _, t := range topology.Types {
		if count[t] == 0 {
			continue
		}
		if !host.Types[t] {
			errs = append(errs, fmt.Errorf("this kernel has no %s namespaces, the image has %d: boot a kernel built with them", t, count[t]))
		}
		if limit, ok := host.Max[t]; ok && limit < count[t] {
			errs = append(errs, fmt.Errorf("user.max_%s_namespaces is %d, the image needs %d: sysctl -w user.max_%s_namespaces=%d, or more", t, limit, count[t], t, count[t]))
		}
	}
	errs = append(errs, host.incapable(plan)...)
	errs = append(errs, host.cramped(plan)...)
	return joinBounded(errs)
}

// refuses returns why host cannot make n.
func (h *Host) refuses(n *topology.Namespace) []error {
	if !n.Owner.External {
		return nil // whoever makes a user namespace has every capability in it
	}
	if n.Type != topology.User {
		if h.Privileged {
			return nil
		}
		return []error{fmt.Errorf("%s belongs to the outermost user namespace: making it needs CAP_SYS_ADMIN there: restore as root", n.Name())}
	}
	errs := exist(n, "projid", n.User.ProjIDMap, h.ProjIDMap)
	if h.Privileged {
		if uid := n.User.OwnerUID; !inside(topology.Extent{Outside: uid, Count: 1}, h.UIDMap) {
			errs = append(errs, fmt.Errorf("%s belongs to uid %d, which your user namespace does not have: restore from one that has it", n.Name(), uid))
		}
		errs = append(errs, exist(n, "uid", n.User.UIDMap, h.UIDMap)...)
		return append(errs, exist(n, "gid", n.User.GIDMap, h.GIDMap)...)
	}
	return append(errs, h.refusesUser(n)...)
}

// exist returns the extents of n whose ids the caller's own user namespace does
// not have.
func exist(n *topology.Namespace, kind string, ids, own []topology.Extent) []error {
	var errs []error
	for _, e := range ids {
		if !inside(e, own) {
			errs = append(errs, fmt.Errorf("%s maps %ss %s, which your user namespace does not have: restore from one that has them", n.Name(), kind, e))
		}
	}
	return errs
}

// inside reports whether one extent of own has all ids that e maps to: map_write
// (kernel/user_namespace.c) wants a single one.
func inside(e topology.Extent, own []topology.Extent) bool {
	first, count := uint64(e.Outside), uint64(e.Count)
	for _, o := range own {
		if first >= uint64(o.Inside) && first+count <= uint64(o.Inside)+uint64(o.Count) {
			return true
		}
	}
	return false
}

// maxReasons bounds how many reasons one error gives.
const maxReasons = 20

func joinBounded(errs []error) error {
	if len(errs) > maxReasons {
		errs = append(errs[:maxReasons:maxReasons], fmt.Errorf("… and %d more", len(errs)-maxReasons))
	}
	return errors.Join(errs...)
}
