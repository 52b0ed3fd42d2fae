package forecast

import (
	"fmt"
	"slices"

	"github.com/renest/renest/topology"
)

// WithSessions adds to findings what CRIU says of tasks whose session was begun outside of
// their pid namespace (dump_one_task, criu/cr-dump.c), which a graph does not tell.
func WithSessions(findings []Finding, outside []*topology.Task) []Finding {
	if len(outside) == 0 {
		return findings
	}
	first := outside[0]
	f := Finding{
		Rule: Session, Verdict: Refuses, Type: topology.PID, Tasks: outside,
		Message: fmt.Sprintf("A session leader of %d(%d) is outside of its pid namespace", first.PID, first.NSPID[len(first.NSPID)-1]),
		Loss:    "tasks are in a session that was begun outside of their pid namespace",
		Remedy:  "start the init of the pid namespace by setsid(1), or have it call setsid(2)",
	}
	for _, t := range outside {
		if n := t.Namespaces[topology.InPID]; n != nil {
			f.Namespaces = appendNew(f.Namespaces, []*topology.Namespace{n})
		}
	}
	findings = append(slices.Clip(findings), f)
	sortFindings(findings)
	return findings
}
