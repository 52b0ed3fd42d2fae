package restore

import (
	"fmt"

	"github.com/renest/renest/topology"
)

// bindings returns why what stands for external namespaces of plan cannot.
func (h *Host) bindings(plan *Plan) []error {
	var errs []error
	for _, n := range plan.External {
		ref, ok := plan.Bound[n]
		if !ok {
			continue
		}
		t, known := h.Bound[ref]
		switch {
		case known && t.Type != 0 && t.Type != n.Type:
			errs = append(errs, fmt.Errorf("external %s=%s: %w", n.Name(), ref, wrongType(n, t.Name())))
		case known && t.Err != nil:
			errs = append(errs, fmt.Errorf("external %s=%s: %w", n.Name(), ref, t.Err))
		case !h.Privileged:
			errs = append(errs, fmt.Errorf("external %s=%s: entering it needs CAP_SYS_ADMIN: restore as root", n.Name(), ref))
		}
	}
	return errs
}

func wrongType(n *topology.Namespace, live string) error {
	return fmt.Errorf("%s is no %s namespace", live, n.Type)
}

// pins returns why the bind mounts of plan cannot be made.
func (h *Host) pins(plan *Plan) []error {
	if len(plan.Pins) > 0 && !h.Privileged {
		return []error{fmt.Errorf("bind mounts of %d namespaces need CAP_SYS_ADMIN over your mount namespace: restore as root, or without --pin", len(plan.Pins))}
	}
	var errs []error
	for _, pin := range plan.Pins {
		if err := h.PinFaults[pin.Path]; err != nil {
			errs = append(errs, fmt.Errorf("pin %s: %w", pin.NS.Name(), err))
		}
	}
	return errs
}
