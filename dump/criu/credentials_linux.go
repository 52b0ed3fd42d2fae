package criu

import (
	"errors"
	"fmt"
	"math"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// judgeCredentials refuses processes with ids that their user namespace does not map. CRIU
// restores ids as they look from inside (dump_creds, criu/pie/parasite.c), and its task
// dies of what it cannot set.
func (d *dumper) judgeCredentials(l *Layer) error {
	var errs []error
	for _, t := range l.Tasks {
		n := t.Namespaces[topology.InUser]
		if n == nil || n.External || t.TID != t.PID {
			continue
		}
		s, err := d.status(t.PID)
		if err != nil {
			continue // it has ended
		}
		if n != l.User() {
			s.Groups = nil // see groupsApart
		}
		if err := settable(n, &s); err != nil {
			errs = append(errs, fmt.Errorf("%s could not become again what it is in %s: %w", who(t), n.Name(), err))
		}
	}
	var err error
	l.groups, err = d.groupsApart(l)
	return errors.Join(append(errs, err)...)
}

// judgeSessions refuses processes whose session was begun outside of their pid namespace,
// as CRIU does when it has frozen them.
func (d *dumper) judgeSessions(l *Layer) error {
	var errs []error
	for _, t := range l.Tasks {
		if t.TID != t.PID || isZombie(t) {
			continue
		}
		if s, err := d.status(t.PID); err == nil && !s.Zombie() && s.Session == 0 {
			errs = append(errs, fmt.Errorf("%s is in a session that was begun outside of its pid namespace: CRIU says \"A session leader of %d(%d) is outside of its pid namespace\"; start the container by setsid(1)", who(t), t.PID, t.NSPID[len(t.NSPID)-1]))
		}
	}
	return errors.Join(errs...)
}

func (d *dumper) status(pid int) (s nsfs.Status, err error) {
	t, err := d.proc.Task(pid)
	if err != nil {
		return s, err
	}
	defer t.Close()
	return s, t.Status(&s)
}

// settable makes sure that a user namespace lets a process set its ids.
func settable(n *topology.Namespace, s *nsfs.Status) error {
	uids, gids, ok := fromOutside(n)
	if !ok {
		return errors.New("its maps could not be read")
	}
	for i := range s.UID {
		if _, ok := topology.MapUp(uids, s.UID[i]); !ok {
			return fmt.Errorf("uid %d is not mapped there", s.UID[i])
		}
		if _, ok := topology.MapUp(gids, s.GID[i]); !ok {
			return fmt.Errorf("gid %d is not mapped there", s.GID[i])
		}
	}
	for _, gid := range s.Groups {
		if _, ok := topology.MapUp(gids, gid); !ok {
			return fmt.Errorf("the supplementary group %d is not mapped there", gid)
		}
	}
	if len(s.Groups) > 0 && n.User.Setgroups == "deny" {
		return errors.New("it has supplementary groups, and setgroups(2) is denied there")
	}
	return nil
}

// fromOutside returns the maps of a user namespace that lead to our own ids.
func fromOutside(n *topology.Namespace) (uids, gids []topology.Extent, ok bool) {
	all := []topology.Extent{{Count: math.MaxUint32}}
	uids, gids = all, all
	for ; n != nil && !n.External; n = n.Owner {
		if n.User == nil {
			return nil, nil, false
		}
		uids, gids = topology.Compose(uids, n.User.UIDMap), topology.Compose(gids, n.User.GIDMap)
	}
	return uids, gids, true
}

// maxGroupsCompared is MAX_GETGROUPS_CHECKED of CRIU's restorer.c.
const maxGroupsCompared = 128

// groupsApart returns the supplementary groups of processes in other user namespaces, as
// the root of the layer numbers them. A restore sets them before the process enters its
// own, where setgroups(2) may be denied: CRIU leaves alone what is right already
// (restore_creds, criu/pie/restorer.c).
func (d *dumper) groupsApart(l *Layer) (map[int][]uint32, error) {
	_, gids, _ := fromOutside(l.User())
	all := map[int][]uint32{}
	for _, t := range l.Apart {
		if t.Namespaces[topology.InUser] == l.User() {
			continue
		}
		s, err := d.status(t.PID)
		switch {
		case errors.Is(err, nsfs.ErrGone):
			continue
		case err != nil:
			return nil, err
		}
		if n := t.Namespaces[topology.InUser]; len(s.Groups) > maxGroupsCompared && n != nil && n.User != nil && n.User.Setgroups == "deny" {
			return nil, fmt.Errorf("%s has %d supplementary groups, and setgroups(2) is denied in %s: CRIU sees only of up to %d that they are right already (\"Can't setgroups\"); start it with fewer", who(t), len(s.Groups), n.Name(), maxGroupsCompared)
		}
		for i, gid := range s.Groups {
			inside, ok := topology.MapUp(gids, gid)
			if !ok {
				return nil, fmt.Errorf("%s has the supplementary group %d, which %s does not map: a restore cannot give it that; start it without", who(t), gid, l.User().Name())
			}
			s.Groups[i] = inside
		}
		if len(s.Groups) > 0 {
			all[t.PID] = s.Groups
		}
	}
	return all, nil
}
