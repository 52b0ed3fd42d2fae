package criu

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// judgeApart refuses processes that a restore cannot have enter their own namespaces
// again. By then all of their threads are there.
func (d *dumper) judgeApart(l *Layer) error {
	var errs []error
	for _, t := range l.Apart {
		task, err := d.proc.Task(t.PID)
		if err != nil {
			continue // it has ended
		}
		var s nsfs.Status
		text, err := task.ReadFile("status")
		err = errors.Join(err, task.Status(&s))
		task.Close()
		if err != nil {
			continue
		}
		for _, link := range []topology.Link{topology.InUser, topology.InTime} {
			if n := t.Namespaces[link]; n != l.Root.Namespaces[link] && s.Threads > 1 {
				errs = append(errs, fmt.Errorf("%s has %d threads and is in %s without a pid namespace of its own: CRIU says \"Can't dump nested %s namespace for %d\", and only a process of one thread can enter it again (setns(2))", who(t), s.Threads, n.Name(), n.Type, t.PID))
			}
		}
		if n := t.Namespaces[topology.InUser]; n != l.User() {
			if what := unmapped(n, &s, groupsIn(string(text))); what != "" {
				errs = append(errs, fmt.Errorf("%s is in %s, and %s: a restore could not make it what it was there again", who(t), n.Name(), what))
			}
		}
	}
	return errors.Join(errs...)
}

// unmapped says which of a process's ids its user namespace does not let it set: CRIU
// restores them as they look from inside.
func unmapped(n *topology.Namespace, s *nsfs.Status, groups []uint32) string {
	if n.User == nil {
		return "its maps could not be read"
	}
	uids, gids := n.User.UIDMap, n.User.GIDMap
	for up := n.Owner; up != nil && !up.External && up.User != nil; up = up.Owner {
		uids, gids = topology.Compose(uids, up.User.UIDMap), topology.Compose(gids, up.User.GIDMap)
	}
	for _, uid := range s.UID {
		if _, ok := topology.MapUp(uids, uid); !ok {
			return fmt.Sprintf("its uid, %d, is not mapped there", uid)
		}
	}
	for _, gid := range slices.Concat(s.GID[:], groups) {
		if _, ok := topology.MapUp(gids, gid); !ok {
			return fmt.Sprintf("one of its groups, %d, is not mapped there", gid)
		}
	}
	if len(groups) > 0 && n.User.Setgroups == "deny" {
		return "it has supplementary groups, and setgroups(2) is denied there"
	}
	return ""
}

// groupsIn finds the supplementary groups in the text of /proc/PID/status.
func groupsIn(status string) (groups []uint32) {
	_, line, _ := strings.Cut(status, "\nGroups:")
	line, _, _ = strings.Cut(line, "\n")
	for field := range strings.FieldsSeq(line) {
		if gid, err := strconv.ParseUint(field, 10, 32); err == nil {
			groups = append(groups, uint32(gid))
		}
	}
	return groups
}
