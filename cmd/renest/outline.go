package main

import (
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/topology"
)

// outlinedJSON is one namespace of renest list --outline --json.
type outlinedJSON struct {
	ID    uint64  `json:"nsid"`
	Type  string  `json:"type"`
	Owner *uint64 `json:"owner_nsid"` // null for the initial user namespace
}

// runOutline is renest list --outline.
func runOutline(c *cli.Context) error {
	if err := together(c, "outline", "owner"); err != nil {
		return err
	}
	limit := c.Int("limit")
	if c.IsSet("limit") && limit <= 0 {
		return usagef("list: --limit %d: a page has at least one", limit)
	}
	list, err := dump.Outline(c.Context)
	if err != nil {
		return err
	}
	if types := *c.Generic("type").(*typesValue); len(types) > 0 {
		list = slices.DeleteFunc(list, func(n dump.Outlined) bool { return !slices.Contains(types, n.Type) })
	}
	list, next := page(list, uint64(*c.Generic("after").(*idValue)), limit)
	if c.Bool("json") {
		return writeJSON(c.App.Writer, outlineJSON(list, next))
	}
	if next != 0 {
		defer warn(c, "there are more: --after %d", next)
	}
	t := newTable("ID", "TYPE", "OWNER")
	for _, n := range list {
		t.number(n.ID)
		t.cell(n.Type.String())
		if n.Owner != 0 {
			t.number(n.Owner)
		} else {
			t.cell(nameOf((*topology.Namespace)(nil)))
		}
	}
	return t.write(c.App.Writer)
}

// page cuts a page out of a list in the order of ids: the first limit (0: all) of
// those after an id, and the id after which the next page begins, 0 where there is
// none. A namespace that ends meanwhile is missing from its page, and no other is: ids
// are not used again.
func page(list []dump.Outlined, after uint64, limit int) (cut []dump.Outlined, next uint64) {
	first := slices.IndexFunc(list, func(n dump.Outlined) bool { return n.ID > after })
	if first < 0 {
		return nil, 0
	}
	list = list[first:]
	if limit == 0 || limit >= len(list) {
		return list, 0
	}
	return list[:limit], list[limit-1].ID
}

// outlineListJSON is what renest list --outline --json prints.
type outlineListJSON struct {
	Namespaces []outlinedJSON `json:"namespaces"`
	Next       *uint64        `json:"next"` // --after of the next page, null where there is none
}

func outlineJSON(list []dump.Outlined, next uint64) outlineListJSON {
	out := outlineListJSON{Namespaces: make([]outlinedJSON, len(list))}
	for i, n := range list {
		out.Namespaces[i] = outlinedJSON{ID: n.ID, Type: n.Type.String()}
		if n.Owner != 0 {
			out.Namespaces[i].Owner = &list[i].Owner
		}
	}
	if next != 0 {
		out.Next = &next
	}
	return out
}
