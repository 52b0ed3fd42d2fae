package images

import (
	"cmp"
	"fmt"

	"github.com/renest/renest/topology"
)

// These checks hold for what is written as for what is read, so that nothing
// is written that could not be read. They bound what the format has to carry;
// whether it makes a topology is topology's to say.

func checkHeader(h *topology.Header) error {
	for _, s := range []struct{ field, text string }{
		{"tool", h.Tool}, {"hostname", h.Hostname}, {"boot id", h.BootID}, {"kernel", h.Kernel}, {"source", h.Source},
	} {
		if err := atMost(s.field, len(s.text), maxName); err != nil {
			return err
		}
	}
	if s := h.Created.Unix(); s < minCreated || s > maxCreated {
		return fmt.Errorf("created %d s from 1970: %w", s, ErrInvalid)
	}
	if c := h.Clocks; c != nil {
		for _, o := range []topology.Offset{c.Monotonic, c.Boottime} {
			if o.Sec < 0 || o.Sec > maxClock || o.Nsec >= 1_000_000_000 {
				return fmt.Errorf("clocks: %d s and %d ns from boot: %w", o.Sec, o.Nsec, ErrInvalid)
			}
		}
	}
	return checkNumbers("root", h.Root)
}

func checkNamespace(n *topology.Namespace) error {
	for i := range n.Pins {
		if err := checkPin(&n.Pins[i]); err != nil {
			return err
		}
	}
	if n.User != nil {
		if err := checkUser(n.User); err != nil {
			return err
		}
	}
	if n.Cgroup != nil {
		if err := atMost("cgroup root", len(n.Cgroup.Root), maxPath); err != nil {
			return err
		}
	}
	for _, list := range sysctlsOf(n) {
		if err := atMost("settings", len(list), maxSysctls); err != nil {
			return err
		}
	}
	if n.PID != nil {
		return checkNumbers("pid state", n.PID.Init, n.PID.PIDMax, n.PID.LastPID)
	}
	return nil
}

// sysctlsOf returns the settings of n, under whatever type they are.
func sysctlsOf(n *topology.Namespace) (lists []topology.Sysctls) {
	if n.User != nil {
		lists = append(lists, n.User.Sysctls)
	}
	if n.IPC != nil {
		lists = append(lists, n.IPC.Sysctls)
	}
	if n.Net != nil {
		lists = append(lists, n.Net.Sysctls)
	}
	return lists
}

func checkUser(u *topology.UserState) error {
	switch u.Setgroups {
	case "", "allow", "deny":
	default:
		return fmt.Errorf("setgroups %q: %w", u.Setgroups, ErrInvalid)
	}
	if err := atMost("uid map", len(u.UIDMap), topology.MaxExtents); err != nil {
		return err
	}
	if err := atMost("gid map", len(u.GIDMap), topology.MaxExtents); err != nil {
		return err
	}
	return atMost("projid map", len(u.ProjIDMap), topology.MaxExtents)
}

func checkPin(p *topology.Pin) error {
	// Here already, for pins that say nothing cost much more to hold than to send.
	if p.Kind < topology.PinTask || p.Kind > topology.PinInFlight {
		return fmt.Errorf("pin of the unknown kind %d: %w", p.Kind, ErrInvalid)
	}
	if err := atMost("path of a pin", len(p.Path), maxPath); err != nil {
		return err
	}
	return checkNumbers("pin", p.PID, p.TID, p.FD)
}

func checkTask(t *topology.Task) error {
	if err := checkNumbers("task", t.PID, t.TID); err != nil {
		return err
	}
	if err := atMost("comm", len(t.Comm), maxName); err != nil {
		return err
	}
	if err := atMost("pid levels", len(t.NSPID), topology.MaxPIDLevel+1); err != nil {
		return err
	}
	return checkNumbers("pid in a namespace", t.NSPID...)
}

// checkOrder refuses a task that does not follow the one before it by pid, then
// tid: so the bytes are the same each time, and no task is there twice.
func checkOrder(before []*topology.Task, t *topology.Task) error {
	if len(before) == 0 {
		return nil
	}
	last := before[len(before)-1]
	if c := cmp.Or(cmp.Compare(last.PID, t.PID), cmp.Compare(last.TID, t.TID)); c >= 0 {
		return fmt.Errorf("task %d (thread %d) after task %d (thread %d): %w", t.PID, t.TID, last.PID, last.TID, ErrInvalid)
	}
	return nil
}

// atMost refuses more than limit bytes or elements.
func atMost(what string, n, limit int) error {
	if n > limit {
		return fmt.Errorf("%s: %d, at most %d: %w", what, n, limit, ErrLimit)
	}
	return nil
}

// checkNumbers refuses what the kernel, which counts pids and descriptors in an
// int, cannot have meant. Where int is short, what is too large is negative.
func checkNumbers(what string, numbers ...int) error {
	for _, n := range numbers {
		if n < 0 || n > maxNumber {
			return fmt.Errorf("%s: number %d: %w", what, n, ErrInvalid)
		}
	}
	return nil
}
