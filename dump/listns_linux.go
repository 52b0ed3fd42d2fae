package dump

import (
	"errors"
	"fmt"

	"github.com/renest/renest/nsfs"
)

var errFiltered = errors.New("listns(2) shows but the caller's own namespaces (it takes CAP_SYS_ADMIN in the initial user namespace, from the initial pid namespace)")

// chooseSource decides whether listns(2) is asked. It has to be there, and to
// show everything: filtered, it lists no more than the caller's own namespaces,
// and says so to nobody.
func (d *dumper) chooseSource() error {
	if d.opts.Source == Proc {
		return nil
	}
	err := nsfs.HaveListns()
	if err == nil {
		if d.sees, err = nsfs.SeesAll(d.proc); err != nil {
			return err
		}
		if d.sees {
			return nil
		}
		d.filtered = true
		err = errFiltered
	}
	if d.opts.Source == Listns {
		return fmt.Errorf("source listns: %w (source proc works without)", err)
	}
	return nil
}

// listActive notes which namespaces are active before the dump looks at any: to
// look at one makes it active for a moment (nsfs_init_inode, fs/nsfs.c).
func (d *dumper) listActive() error {
	if !d.sees {
		return nil
	}
	for id, err := range nsfs.List(nsfs.Query{}) {
		if err != nil {
			return fmt.Errorf("dump: %w", err)
		}
		d.active = append(d.active, id)
	}
	return nil
}

// scanListed adds what listns(2) lists and no task, descriptor or mount led to:
// a descriptor in flight between two sockets is one such holder. In a tree, what
// is owned by one of its own user namespaces belongs to it.
func (d *dumper) scanListed() error {
	if !d.sees {
		return nil
	}
	found := map[nsfs.ID]bool{}
	owners := d.reg.all(func(n *node) bool {
		found[n.id] = true
		return d.root != 0 && n.ref.Type == nsfs.User && !n.external
	})
	if d.root == 0 {
		_, err := d.listed(nsfs.Query{}, found)
		return err
	}
	for len(owners) > 0 {
		n := owners[0]
		more, err := d.listed(nsfs.Query{Owner: n.id}, found)
		if err != nil {
			return err
		}
		owners = append(owners[1:], more...)
	}
	return nil
}

// listed opens what a query lists and is not found yet, and returns the user
// namespaces among that.
func (d *dumper) listed(q nsfs.Query, found map[nsfs.ID]bool) ([]*node, error) {
	var users []*node
	for id, err := range nsfs.List(q) {
		if errors.Is(err, einval) && q.Owner != 0 {
			return users, nil // the owner has gone
		}
		if err != nil {
			return nil, fmt.Errorf("dump: %w", err)
		}
		if found[id] {
			continue
		}
		found[id] = true
		ns, err := nsfs.Handle{ID: id}.Open()
		if err != nil {
			continue // gone
		}
		n := d.byNS(ns, 0, way{kind: byID, from: &node{id: id}})
		_ = ns.Close()
		if n != nil {
			d.listedNodes = append(d.listedNodes, n)
			if n.ref.Type == nsfs.User {
				users = append(users, n)
			}
		}
	}
	return users, nil
}
