package dump

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// Outlined is what listns(2) alone tells of a namespace.
type Outlined struct {
	ID    uint64
	Type  topology.Type
	Owner uint64 // id of the user namespace that owns it, its parent for a user namespace; 0 for the initial one, or where the owner has just ended
}

// Outline is every active namespace of the host by its id, in ascending order, which
// is one of creation: an owner comes before what it owns. It asks listns(2) once for
// each type and once for each user namespace, looks at no task, descriptor or mount,
// and opens nothing, so that it takes some milliseconds where there are ten thousand
// namespaces. For the same reason it has neither inode numbers nor parents of pid
// namespaces nor what is alive and not active: [All] does.
//
// Linux 6.19, in the initial pid namespace with CAP_SYS_ADMIN in the initial user
// namespace: the kernel leaves out what others may not see, without a word.
func Outline(ctx context.Context) ([]Outlined, error) {
	p, err := nsfs.OpenProc()
	if err != nil {
		return nil, fmt.Errorf("outline: %w", err)
	}
	defer p.Close()
	if err := nsfs.HaveListns(); err != nil {
		return nil, fmt.Errorf("outline: %w (a list without outline works by /proc)", err)
	}
	sees, err := nsfs.SeesAll(p)
	if err != nil {
		return nil, fmt.Errorf("outline: %w", err)
	}
	if !sees {
		return nil, fmt.Errorf("outline: %w", errFiltered)
	}
	return outline(ctx, new(nsfs.Lister))
}

func outline(ctx context.Context, l *nsfs.Lister) ([]Outlined, error) {
	var list []Outlined
	var users []nsfs.ID
	for i, t := range nsfs.Types {
		for id, err := range l.List(nsfs.Query{Types: t}) {
			if err != nil {
				return nil, fmt.Errorf("outline: %w", err)
			}
			list = append(list, Outlined{ID: uint64(id), Type: topology.Types[i]})
			if t == nsfs.User {
				users = append(users, id)
			}
		}
	}
	slices.SortFunc(list, func(a, b Outlined) int { return cmp.Compare(a.ID, b.ID) })
	for _, owner := range users {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("outline: %w", context.Cause(ctx))
		}
		for id, err := range l.List(nsfs.Query{Owner: owner}) {
			if errors.Is(err, einval) {
				break // it has gone
			}
			if err != nil {
				return nil, fmt.Errorf("outline: %w", err)
			}
			at, found := slices.BinarySearchFunc(list, uint64(id), func(n Outlined, id uint64) int { return cmp.Compare(n.ID, id) })
			if found {
				list[at].Owner = uint64(owner)
			}
		}
	}
	return list, nil
}
