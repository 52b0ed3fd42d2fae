package criu

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// Judgement is what [Dump] would make of a tree.
type Judgement struct {
	Layers []*Layer
	// Refusals are all the reasons why Dump would not take the tree.
	Refusals []string
}

// Judge looks at a tree as [Dump] does before anything is frozen. It needs no CRIU. The
// error is that the tree could not be looked at.
func Judge(ctx context.Context, tree dump.TaskReference, o dump.Options) (*Judgement, error) {
	proc, err := nsfs.OpenProc()
	if err != nil {
		return nil, err
	}
	defer proc.Close()
	o.Inits, o.CopiedBinds = true, true
	d := &dumper{o: Options{Tree: tree, Dump: o}, proc: proc}
	g, layers, err := d.look(ctx)
	if g == nil {
		return nil, err
	}
	j := &Judgement{Layers: layers}
	if err := errors.Join(err, judgeBinds(g, layers)); err != nil {
		j.Refusals = strings.Split(err.Error(), "\n")
	}
	return j, nil
}

// judgeBinds refuses bind mounts of namespaces, which CRIU cannot mount, in the mount
// namespaces that are to be dumped (validate_mounts, criu/mount.c).
func judgeBinds(g *topology.Graph, layers []*Layer) error {
	var errs []error
	for _, n := range g.Namespaces {
		for _, p := range n.Pins {
			if p.Kind != topology.PinBind || p.Mnt == nil || p.Mnt.External {
				continue
			}
			if t := memberOf(layers, p.Mnt); t != nil {
				errs = append(errs, fmt.Errorf("%s is mounted at %s, where %s sees it: CRIU says \"doesn't have a proper root mount\"; unmount it, or leave it out (-- --external mnt[%s]:LABEL)", n.Name(), p.Path, who(t), p.Path))
			}
		}
	}
	return errors.Join(errs...)
}

func memberOf(layers []*Layer, mnt *topology.Namespace) *topology.Task {
	for _, l := range layers {
		i := slices.IndexFunc(l.Tasks, func(t *topology.Task) bool { return t.Namespaces[topology.InMnt] == mnt })
		if i >= 0 {
			return l.Tasks[i]
		}
	}
	return nil
}

// judgeIDs refuses a user namespace in which nobody is root: whoever CRIU has look into
// the namespaces becomes that (check_user_ns, criu/namespaces.c).
func judgeIDs(l *Layer) error {
	n := l.User()
	if n.External || n.User == nil {
		return nil
	}
	_, uid := topology.MapDown(n.User.UIDMap, 0)
	_, gid := topology.MapDown(n.User.GIDMap, 0)
	if uid && gid {
		return nil
	}
	return fmt.Errorf("%s, which %s is in, maps no uid or no gid 0: CRIU says \"One or more namespaces doesn't belong to the target user namespace\"; map both when the tree is started", n.Name(), who(l.Root))
}

// external reports whether a mount is named as external by options of the caller's.
func external(config []string) bool {
	return slices.ContainsFunc(config, func(line string) bool { return strings.HasPrefix(line, "external mnt") })
}
