package restore

import (
	"context"
	"fmt"

	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// writeMaps writes the maps of a user namespace, each in one go, and setgroups
// before the gid_map, after which it cannot be denied any more.
func (e *executor) writeMaps(ctx context.Context, s Step) error {
	target, u, name := e.agents[s.New], s.NS.User, s.NS.Name()
	p := e.program(s.By)
	if s.GIDHelper { // which does not wait for the others of this round
		p = new(agent.Program)
	}
	if u.Setgroups == "deny" {
		write(p, "deny setgroups in "+name, target, "setgroups", "deny")
	}
	if s.GIDHelper {
		if err := e.agents[s.By].Run(ctx, p); err != nil {
			return explain(err)
		}
		e.groups = e.groups || u.Setgroups != "deny"
		p = e.program(s.By)
	}
	for _, m := range []struct {
		file, helper string
		helped       bool
		ids          []topology.Extent
	}{
		{"uid_map", newuidmap, s.UIDHelper, u.UIDMap},
		{"gid_map", newgidmap, s.GIDHelper, u.GIDMap},
		{"projid_map", "", false, u.ProjIDMap},
	} {
		what := "write " + m.file + " of " + name
		switch {
		case len(m.ids) == 0:
		case m.helped:
			if err := mapThrough(ctx, m.helper, target.PID(), m.ids); err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
		default:
			write(p, what, target, m.file, topology.FormatIDMap(m.ids))
		}
	}
	return nil
}
