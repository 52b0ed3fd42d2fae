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
	list, err := dump.Outline(c.Context)
	if err != nil {
		return err
	}
	if types := *c.Generic("type").(*typesValue); len(types) > 0 {
		list = slices.DeleteFunc(list, func(n dump.Outlined) bool { return !slices.Contains(types, n.Type) })
	}
	if c.Bool("json") {
		return writeJSON(c.App.Writer, outlineJSON(list))
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

// outlineListJSON is what renest list --outline --json prints.
type outlineListJSON struct {
	Namespaces []outlinedJSON `json:"namespaces"`
}

func outlineJSON(list []dump.Outlined) outlineListJSON {
	out := make([]outlinedJSON, len(list))
	for i, n := range list {
		out[i] = outlinedJSON{ID: n.ID, Type: n.Type.String()}
		if n.Owner != 0 {
			out[i].Owner = &list[i].Owner
		}
	}
	return outlineListJSON{out}
}
