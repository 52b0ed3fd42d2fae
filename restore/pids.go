package restore

import (
	"errors"
	"fmt"
	"slices"

	"github.com/renest/renest/topology"
)

// PIDMode says which pid numbers holders get.
type PIDMode uint8

// The modes.
const (
	// FreePIDs: whatever is free.
	FreePIDs PIDMode = iota
	// InnerPIDs: those of the first processes that they stand for, in all pid
	// namespaces that are restored; whatever is free in the caller's own.
	InnerPIDs
	// ExactPIDs: those of the first processes at every level, the caller's own
	// pid namespace included.
	ExactPIDs
)

// maxPID is above every pid: PID_MAX_LIMIT of include/linux/threads.h.
const maxPID = 4 << 20

// A process chooses by clone3(2) its child's numbers in those pid namespaces over
// whose owners it has CAP_CHECKPOINT_RESTORE (alloc_pid, kernel/pid.c): from the
// innermost up to where its own user namespace ends. Above that, where another
// user namespace owns them, the number is the one behind ns_last_pid, which a
// process with that right there sets beforehand.

// number gives the child of by, the first process of n, its numbers.
func (p *planner) number(s *Step, by *actor, n *topology.Namespace) {
	if p.o.PIDs == FreePIDs || !lives(n) {
		return
	}
	levels := p.pidLevels(n)
	want, err := wantedPIDs(p.tasks[n], len(levels), p.o.PIDs)
	if err != nil {
		p.faults = append(p.faults, fmt.Errorf("%s: %w", n.Name(), err))
		return
	}
	for i, pid := range want {
		other := p.takenPIDs[levels[i]][pid]
		if other != nil {
			p.faults = append(p.faults, fmt.Errorf("%s and %s: the first process of both is pid %d of %s", other.Name(), n.Name(), pid, levels[i].Name()))
			return
		}
		if p.takenPIDs[levels[i]] == nil {
			p.takenPIDs[levels[i]] = map[int]*topology.Namespace{}
		}
		p.takenPIDs[levels[i]][pid] = n
	}
	s.PIDs = want
	for i := range want {
		if i == 0 || len(s.Writers) == 0 && p.mayNumber(by, levels[i]) {
			continue
		}
		writer := p.first
		if init := p.inits[levels[i]]; init != nil {
			writer = init
		}
		s.Writers = append(s.Writers, writer.number)
	}
}

// pidLevels returns the pid namespaces that a process in n has a number in, the
// innermost first, up to the caller's own.
func (p *planner) pidLevels(n *topology.Namespace) []*topology.Namespace {
	var levels []*topology.Namespace
	for ; !n.External; n = n.Parent {
		levels = append(levels, n)
	}
	return append(levels, n)
}

// mayNumber reports whether a child of by can be given its number in n by clone3.
func (p *planner) mayNumber(by *actor, n *topology.Namespace) bool {
	if n.External {
		return by.user.External && p.o.Privileged
	}
	return within(n.Owner, by.user)
}

// wantedPIDs returns the numbers of a task, the innermost first. They come from an
// image.
func wantedPIDs(t *topology.Task, levels int, mode PIDMode) ([]int, error) {
	if t == nil {
		return nil, errors.New("the image does not have its first process, so that its pid is not known: restore with whatever pids are free")
	}
	want := slices.Clone(t.NSPID)
	slices.Reverse(want)
	if len(want) != levels {
		return nil, fmt.Errorf("the image has %d pids of its first process, which is %d levels down: restore with whatever pids are free", len(want), levels)
	}
	for _, pid := range want {
		if pid < 1 || pid >= maxPID {
			return nil, fmt.Errorf("its first process is said to be pid %d, which none can be", pid)
		}
	}
	if mode == InnerPIDs {
		want = want[:levels-1]
	}
	return want, nil
}

// hostPIDs returns the pids that the plan wants in the caller's own pid namespace,
// and the namespace that each is for.
func (p *Plan) hostPIDs() map[int]*topology.Namespace {
	wanted := map[int]*topology.Namespace{}
	if p.PIDs != ExactPIDs {
		return wanted
	}
	for _, s := range p.Steps {
		if len(s.PIDs) > 0 {
			wanted[s.PIDs[len(s.PIDs)-1]] = s.born()
		}
	}
	return wanted
}

// born returns the pid namespace that a fork creates, nil for none.
func (s Step) born() *topology.Namespace {
	for _, n := range s.Creates {
		if n.Type == topology.PID {
			return n
		}
	}
	return nil
}

// pids returns why the pids of plan cannot be had.
func (h *Host) pids(plan *Plan) []error {
	var errs []error
	wanted := plan.hostPIDs()
	if len(wanted) > 0 && !h.Privileged {
		return []error{errors.New("pids of your own pid namespace take CAP_CHECKPOINT_RESTORE in the user namespace that owns it: restore as root, or with --pids inner")}
	}
	if h.LastPIDFault != nil && slices.ContainsFunc(plan.Steps, func(s Step) bool { return len(s.PIDs) > 0 }) {
		errs = append(errs, h.LastPIDFault)
	}
	var list []int
	for pid := range wanted {
		list = append(list, pid)
	}
	slices.Sort(list)
	for _, pid := range list {
		switch holder, used := h.UsedPIDs[pid]; {
		case used:
			errs = append(errs, fmt.Errorf("%s: pid %d of its first process is in use here, by %s: end that, or restore with --pids inner", wanted[pid].Name(), pid, holder))
		case h.PIDMax > 0 && pid >= h.PIDMax:
			errs = append(errs, fmt.Errorf("%s: pid %d of its first process is above this host's: sysctl -w kernel.pid_max=%d, or restore with --pids inner", wanted[pid].Name(), pid, maxPID))
		}
	}
	return errs
}
