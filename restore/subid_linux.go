package restore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"

	"github.com/renest/renest/topology"
)

// The programs by which an ordinary user maps ids that are lent to it. They are
// of the package uidmap, and set-user-ID root.
const (
	newuidmap = "newuidmap"
	newgidmap = "newgidmap"
)

// readSubIDs reads what the system lends to an ordinary user.
func (h *Host) readSubIDs() error {
	if h.Privileged {
		return nil
	}
	h.Helpers = haveHelpers()
	for _, m := range []struct {
		read func() ([]user.SubID, error)
		to   *[]IDRange
	}{{user.CurrentUserSubUIDs, &h.SubUIDs}, {user.CurrentUserSubGIDs, &h.SubGIDs}} {
		list, err := m.read()
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, user.ErrNoPasswdEntries):
			continue // nothing is lent to anybody, or to whom it is has no name
		case err != nil:
			return fmt.Errorf("read subordinate ids: %w", err)
		}
		*m.to = joinRanges(list)
	}
	return nil
}

// joinRanges returns the ranges of list in order, joined where they adjoin, as
// newuidmap takes them.
func joinRanges(list []user.SubID) []IDRange {
	var out []IDRange
	slices.SortFunc(list, func(a, b user.SubID) int { return cmp.Compare(a.SubID, b.SubID) })
	for _, s := range list {
		if s.SubID < 0 || s.Count <= 0 || s.SubID > int64(topology.NoID) || s.Count > int64(topology.NoID)-s.SubID {
			continue // the line says nothing
		}
		r := IDRange{uint32(s.SubID), uint32(s.Count)}
		if last := len(out) - 1; last >= 0 && r.First <= out[last].First+out[last].Count {
			out[last].Count = max(out[last].Count, r.First+r.Count-out[last].First)
			continue
		}
		out = append(out, r)
	}
	return out
}

func haveHelpers() error {
	for _, name := range []string{newuidmap, newgidmap} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%s is missing: install the package uidmap", name)
		}
	}
	if set, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err == nil && set != 0 {
		return fmt.Errorf("%s gets no rights here: restore from where no_new_privs is not set", newuidmap)
	}
	return nil
}

// mapThrough has newuidmap or newgidmap write a map of the user namespace of
// process pid. Whether it may is their decision: they read subuid(5) themselves.
func mapThrough(ctx context.Context, helper string, pid int, m []topology.Extent) error {
	args := []string{strconv.Itoa(pid)}
	for _, e := range m {
		for _, n := range []uint32{e.Inside, e.Outside, e.Count} {
			args = append(args, strconv.FormatUint(uint64(n), 10))
		}
	}
	out, err := exec.CommandContext(ctx, helper, args...).CombinedOutput()
	if err == nil {
		return nil
	}
	if said := strings.TrimSpace(string(out)); said != "" {
		return errors.New(said) // it names itself
	}
	return fmt.Errorf("%s: %w", helper, err)
}
