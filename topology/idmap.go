package topology

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"
)

// MaxExtents is how many extents the kernel takes in one id map
// (UID_GID_MAP_MAX_EXTENTS, include/linux/user_namespace.h).
const MaxExtents = 340

// NoID is the id that no one has. The kernel prints it in place of an outside
// id that the reader's user namespace does not map (from_kuid in uid_m_show,
// kernel/user_namespace.c); an extent with it says which ids are mapped, and
// not to what.
const NoID uint32 = 1<<32 - 1

// String returns the extent as a line of /proc/PID/uid_map has it, unpadded.
func (e Extent) String() string {
	return fmt.Sprintf("%d %d %d", e.Inside, e.Outside, e.Count)
}

// insideEnd and outsideEnd are one past the last id; 64 bits wide, since a
// hostile extent may run past the last uint32.
func (e Extent) insideEnd() uint64  { return uint64(e.Inside) + uint64(e.Count) }
func (e Extent) outsideEnd() uint64 { return uint64(e.Outside) + uint64(e.Count) }

// ValidateIDMap reports whether the kernel would take m as an id map, apart
// from what the parent's map allows. The rules are those of map_write and
// mappings_overlap (kernel/user_namespace.c). An empty map is valid: it is one
// that has not been written.
func ValidateIDMap(m []Extent) error {
	if len(m) > MaxExtents {
		return fmt.Errorf("id map has %d extents, the kernel takes %d", len(m), MaxExtents)
	}
	for i, e := range m {
		if err := e.validate(); err != nil {
			return fmt.Errorf("extent %d (%v): %w", i+1, e, err)
		}
	}
	if err := overlap(m, "inside", func(e Extent) uint32 { return e.Inside }); err != nil {
		return err
	}
	return overlap(m, "outside", func(e Extent) uint32 { return e.Outside })
}

func (e Extent) validate() error {
	switch {
	case e.Count == 0:
		return errors.New("its count is zero")
	case e.Outside == NoID:
		return errors.New("where it maps to could not be seen")
	case e.insideEnd() > uint64(NoID):
		return errors.New("its inside ids run past 4294967294")
	case e.outsideEnd() > uint64(NoID):
		return errors.New("its outside ids run past 4294967294")
	}
	return nil
}

// overlap finds two extents whose ranges, which begin at first, meet.
func overlap(m []Extent, side string, first func(Extent) uint32) error {
	order := make([]int, len(m))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(first(m[i]), first(m[j])) })
	for k := 1; k < len(order); k++ {
		i, j := order[k-1], order[k]
		if uint64(first(m[i]))+uint64(m[i].Count) > uint64(first(m[j])) {
			i, j = min(i, j), max(i, j)
			return fmt.Errorf("extent %d (%v) overlaps extent %d (%v) %s", j+1, m[j], i+1, m[i], side)
		}
	}
	return nil
}

// MapDown maps an id of the namespace to one of its parent, in the direction
// of the kernel's map_id_down. It reports false for an id that is not mapped.
func MapDown(m []Extent, inside uint32) (outside uint32, ok bool) {
	for _, e := range m {
		if inside >= e.Inside && uint64(inside) < e.insideEnd() && e.Outside != NoID {
			return e.Outside + (inside - e.Inside), true
		}
	}
	return NoID, false
}

// MapUp maps an id of the parent to one of the namespace, in the direction of
// the kernel's map_id_up. It reports false for an id that is not mapped.
func MapUp(m []Extent, outside uint32) (inside uint32, ok bool) {
	for _, e := range m {
		if outside >= e.Outside && uint64(outside) < e.outsideEnd() && e.Outside != NoID {
			return e.Inside + (outside - e.Outside), true
		}
	}
	return NoID, false
}

// Compose returns the map that leads from the inside of child to the outside of
// parent, sorted by inside id. An extent of child that spans several of parent
// is split, and what parent does not map is dropped.
func Compose(child, parent []Extent) []Extent {
	p := sortedByInside(parent)
	var out []Extent
	for _, c := range child {
		if c.Outside == NoID {
			continue
		}
		// The first extent of parent that ends after the child's begins.
		i := sort.Search(len(p), func(i int) bool { return p[i].insideEnd() > uint64(c.Outside) })
		for ; i < len(p) && uint64(p[i].Inside) < c.outsideEnd(); i++ {
			lo := max(uint64(c.Outside), uint64(p[i].Inside))
			hi := min(c.outsideEnd(), p[i].insideEnd())
			if lo >= hi || p[i].Outside == NoID {
				continue
			}
			out = append(out, Extent{
				Inside:  uint32(uint64(c.Inside) + lo - uint64(c.Outside)),
				Outside: uint32(uint64(p[i].Outside) + lo - uint64(p[i].Inside)),
				Count:   uint32(hi - lo),
			})
		}
	}
	slices.SortStableFunc(out, compareExtents)
	return out
}

// Invert returns the map that leads the other way, from outside to inside,
// sorted. Extents whose outside could not be seen are dropped.
func Invert(m []Extent) []Extent {
	out := make([]Extent, 0, len(m))
	for _, e := range m {
		if e.Outside != NoID {
			out = append(out, Extent{Inside: e.Outside, Outside: e.Inside, Count: e.Count})
		}
	}
	slices.SortStableFunc(out, compareExtents)
	return out
}

// Relativize takes the maps of a user namespace and of its parent, both as one
// ancestor of the two sees them, and returns the child's map in the parent's
// numbers: what has to be written to make it again. /proc/PID/uid_map, read in
// the initial user namespace, shows global ids at every depth.
//
// The result is sorted by inside id. It lacks what the parent does not map;
// the kernel makes no such map, so a result that covers less than seenChild
// means that the two were not read at one moment, or by a reader who could not
// see all of them.
func Relativize(seenChild, seenParent []Extent) []Extent {
	return Compose(seenChild, Invert(seenParent))
}

// mergeIDMap returns the shortest map that maps the same ids to the same ids:
// sorted, with neighbours that continue each other joined.
func mergeIDMap(m []Extent) []Extent {
	var out []Extent
	for _, e := range sortedByInside(m) {
		if k := len(out) - 1; k >= 0 && out[k].insideEnd() == uint64(e.Inside) &&
			out[k].outsideEnd() == uint64(e.Outside) {
			out[k].Count += e.Count
			continue
		}
		out = append(out, e)
	}
	return out
}

// inOneExtent reports whether the outside ids of e lie within one extent of
// the parent's map, sorted by inside id: map_write refuses the rest (EPERM from
// map_id_range_down).
func inOneExtent(e Extent, parent []Extent) bool {
	i := sort.Search(len(parent), func(i int) bool { return parent[i].insideEnd() > uint64(e.Outside) })
	return i < len(parent) && parent[i].Inside <= e.Outside && e.outsideEnd() <= parent[i].insideEnd()
}

func sortedByInside(m []Extent) []Extent {
	if slices.IsSortedFunc(m, compareExtents) {
		return m
	}
	m = slices.Clone(m)
	slices.SortStableFunc(m, compareExtents)
	return m
}

func compareExtents(a, b Extent) int {
	return cmp.Or(cmp.Compare(a.Inside, b.Inside), cmp.Compare(a.Outside, b.Outside), cmp.Compare(a.Count, b.Count))
}
