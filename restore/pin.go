package restore

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/renest/renest/topology"
)

// PinOptions say which namespaces are bind-mounted, so that others find them by
// a path, and where.
type PinOptions struct {
	// Dir is the folder below which the bind mounts of the image come back, each
	// by the path that it had.
	Dir string
	// Original brings them back where they were, in place of Dir.
	Original bool
	// All also binds, below Dir, the namespaces that had no bind mount:
	// Dir/net/4026532008, by type and inode number in the image.
	All bool
}

// PlannedPin is a bind mount to be made of a namespace.
type PlannedPin struct {
	NS   *topology.Namespace
	Path string // absolute and clean
	// Dir is the folder that the caller has chosen. What Path has beyond that is
	// the image's word.
	Dir string
}

// Limits of the kernel: NAME_MAX and PATH_MAX.
const (
	maxName = 255
	maxPath = 4095
)

// planPins plans the bind mounts of what the plan makes.
func (p *planner) planPins() error {
	o := p.o.Pins
	if o.Original && (o.Dir != "" || o.All) {
		return errors.New("bind mounts come back either where they were or below a folder")
	}
	if o.All && o.Dir == "" {
		return errors.New("to bind all namespaces takes a folder to do so in")
	}
	if o.Dir != "" && (!path.IsAbs(o.Dir) || path.Clean(o.Dir) != o.Dir) {
		return fmt.Errorf("pin folder %q: want an absolute path", o.Dir)
	}
	var errs []error
	taken := map[string]*topology.Namespace{}
	for _, n := range p.plan.Made() {
		for _, at := range p.pinPaths(n) {
			if err := checkPinPath(at); err != nil {
				errs = append(errs, fmt.Errorf("%s: its bind mount: %w", n.Name(), err))
				continue
			}
			pin := PlannedPin{NS: n, Path: path.Join("/", o.Dir, at), Dir: path.Join("/", o.Dir)}
			switch other := taken[pin.Path]; {
			case other == n:
				continue
			case other != nil:
				errs = append(errs, fmt.Errorf("%s: it was bind-mounted at %s, like %s: only one of them can be", n.Name(), at, other.Name()))
				continue
			}
			taken[pin.Path] = n
			p.plan.Pins = append(p.plan.Pins, pin)
		}
	}
	return joinBounded(errs)
}

// pinPaths returns where n is to be bound, as the image has it.
func (p *planner) pinPaths(n *topology.Namespace) []string {
	var list []string
	var other *topology.Pin
	for i, pin := range n.Pins {
		switch {
		case pin.Kind != topology.PinBind:
		case pin.Mnt != nil && pin.Mnt != p.host[topology.Mnt]:
			if other == nil {
				other = &n.Pins[i]
			}
		default:
			list = append(list, pin.Path)
		}
	}
	switch {
	case len(list) > 0 && p.o.Pins.Dir == "" && !p.o.Pins.Original:
		p.note("%s: it was bind-mounted at %q, and is not (see --pin and --pins)", n.Name(), list[0])
		return nil
	case len(list) == 0 && other != nil:
		p.note("%s: its bind mount %q comes back with what is in %s, which is CRIU's and the runtime's", n.Name(), other.Path, other.Mnt.Name())
	}
	if len(list) == 0 && p.o.Pins.All && n.State != topology.Hidden && n.State != topology.Unborn {
		list = append(list, fmt.Sprintf("/%s/%d", n.Type, n.Ino))
	}
	return list
}

// checkPinPath refuses a path of an image that is not plain: one that climbs, or
// that looks like something else on a terminal.
func checkPinPath(at string) error {
	if !path.IsAbs(at) || path.Clean(at) != at || at == "/" {
		return fmt.Errorf("path %q: want an absolute one that does not climb", at)
	}
	if len(at) > maxPath {
		return fmt.Errorf("path %.40q…: longer than %d bytes", at, maxPath)
	}
	if !utf8.ValidString(at) || strings.ContainsFunc(at, unicode.IsControl) {
		return fmt.Errorf("path %q: has characters that no name should", at)
	}
	for _, name := range strings.Split(at, "/") {
		if len(name) > maxName {
			return fmt.Errorf("path %.40q…: a name in it is longer than %d bytes", at, maxName)
		}
	}
	return nil
}
