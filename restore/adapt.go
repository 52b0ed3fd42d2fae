package restore

import (
	"errors"
	"fmt"
	"slices"

	"github.com/renest/renest/topology"
)

// adapt returns the graph to be made of g where that is meant to differ: what
// stands on this host already is external, and the ids that the outermost user
// namespaces map are others. Whatever is left as it was is g itself. The result
// is what the tree is compared with in the end.
func adapt(g *topology.Graph, o PlanOptions) (*topology.Graph, map[*topology.Namespace]string, error) {
	if len(o.External) == 0 && o.IDs == nil {
		return g, nil, nil
	}
	g = g.Clone()
	bound, err := bindExternal(g, o.External)
	if o.IDs != nil {
		err = errors.Join(err, moveIDs(g, *o.IDs, o))
	}
	return g, bound, err
}

// bindExternal makes the namespaces that refs names external, and returns what
// stands for each.
func bindExternal(g *topology.Graph, refs map[string]string) (map[*topology.Namespace]string, error) {
	index, bound := g.Index(), map[*topology.Namespace]string{}
	var names []string
	for name := range refs {
		names = append(names, name)
	}
	slices.Sort(names)
	var errs []error
	for _, name := range names {
		typ, ino, err := topology.ParseName(name)
		if err != nil {
			errs = append(errs, fmt.Errorf("external %q: %w", name, err))
			continue
		}
		n := index.Lookup(typ, ino)
		switch {
		case n == nil:
			errs = append(errs, fmt.Errorf("external %s: the image has no such namespace", name))
		case typ.HasParent():
			errs = append(errs, fmt.Errorf("external %s: a tree is made below the caller's own %s namespace: restore from within %s (renest enter %s -- renest restore …)", name, typ, refs[name], refs[name]))
		default:
			if !n.External { // what stands for it has another owner
				n.External, n.Owner, n.Pins = true, nil, nil
			}
			bound[n] = refs[name]
		}
	}
	return bound, errors.Join(errs...)
}
