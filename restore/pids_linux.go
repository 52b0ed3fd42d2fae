package restore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// lastPIDFile is the last pid given out in the writer's own pid namespace
// (CONFIG_CHECKPOINT_RESTORE).
const lastPIDFile = "/proc/sys/kernel/ns_last_pid"

// lookPIDs looks which of the pids that plan wants are in use.
func (h *Host) lookPIDs(plan *Plan) {
	if plan.PIDs == FreePIDs {
		return
	}
	if _, err := os.Stat(lastPIDFile); err != nil {
		h.LastPIDFault = fmt.Errorf("this kernel does not let a pid be chosen (CONFIG_CHECKPOINT_RESTORE): restore with whatever pids are free: %w", err)
	}
	h.PIDMax, _ = readInt("/proc/sys/kernel/pid_max")
	h.UsedPIDs = map[int]string{}
	for pid := range plan.hostPIDs() {
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)) // threads too
		switch {
		case err == nil:
			h.UsedPIDs[pid] = strings.TrimSpace(string(comm))
		case !errors.Is(unix.Kill(-pid, 0), unix.ESRCH):
			h.UsedPIDs[pid] = "a process group"
		}
	}
}

func readInt(path string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// numbering is how an executor gives holders their pids.
type numbering struct {
	// high is above all pids wanted in a restored pid namespace: what is not to
	// have a certain one has its number from there.
	high map[*topology.Namespace]int
	// last is the host's own last pid.
	last int
}

// numberFrom prepares the numbering of plan. Where the pids that are wanted come
// next on this host, it has it go on behind them, so that none goes to a process
// of the restore's own.
func numberFrom(plan *Plan) (n numbering, err error) {
	n.high = map[*topology.Namespace]int{}
	for _, s := range plan.Steps {
		at := s.born()
		for _, pid := range s.PIDs {
			n.high[at] = max(n.high[at], pid)
			at = at.Parent
		}
	}
	wanted := plan.hostPIDs()
	if len(wanted) == 0 {
		return n, nil
	}
	if n.last, err = readInt(lastPIDFile); err != nil {
		return n, err
	}
	// As far as this host may come meanwhile, which others fork on as well.
	const margin = 10000
	ahead := n.last
	for again := true; again; {
		again = false
		for pid := range wanted {
			if pid > ahead && pid <= ahead+4*plan.Agents+margin {
				ahead, again = pid, true
			}
		}
	}
	if ahead != n.last {
		n.last = ahead
		err = os.WriteFile(lastPIDFile, []byte(strconv.Itoa(ahead)), 0)
	}
	return n, err
}

// forkNumbered has an agent fork the first process of a pid namespace with the
// numbers that it wants, at once: those that ns_last_pid decides about may be
// anybody's a moment later.
func (e *executor) forkNumbered(ctx context.Context, s Step, what string, o agent.ForkOptions) error {
	own := len(s.PIDs) - len(s.Writers)
	o.SetTID = s.PIDs[:own]
	at := s.born()
	for range own {
		at = at.Parent
	}
	err := e.tryNumbers(ctx, s, what, o)
	if errors.Is(err, unix.EEXIST) {
		err = advise(err, fmt.Sprintf("one of the pids %v is in use: restore with --pids inner, or with whatever is free", s.PIDs))
	}
	for _, by := range s.Writers {
		back := e.numbers.high[at]
		if at.External {
			back = e.numbers.last
		}
		if werr := e.setLastPID(ctx, by, back); err == nil && werr != nil {
			err = fmt.Errorf("%s: %w", what, werr)
		}
		at = at.Parent
	}
	if err != nil {
		return e.locate(explain(err))
	}
	if high := e.numbers.high[s.born()]; high > 1 {
		return e.setLastPID(ctx, s.New, high)
	}
	return nil
}

// tryNumbers forks until the child has the numbers that it is to have: between what
// sets ns_last_pid and the fork, others fork too.
func (e *executor) tryNumbers(ctx context.Context, s Step, what string, o agent.ForkOptions) error {
	own := len(s.PIDs) - len(s.Writers)
	// What it is to do before may be a fork too.
	w := e.todo[s.By]
	before := w.program
	w.program = agent.Program{}
	if err := e.agents[s.By].Run(ctx, &before); err != nil {
		return err
	}
	for range 100 {
		for i, by := range s.Writers {
			if err := e.setLastPID(ctx, by, s.PIDs[own+i]-1); err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
		}
		var run agent.Program
		child := run.Fork(e.crew, what, o)
		if err := e.agents[s.By].Run(ctx, &run); err != nil {
			return err
		}
		got, err := pidsOf(child.PID())
		if err != nil {
			return err
		}
		if slices.Equal(got[:min(len(got), len(s.PIDs))], s.PIDs) {
			e.agents[s.New] = child
			return nil
		}
		if err := errors.Join(child.Exit(ctx), child.Gone(ctx)); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s: %w", what, unix.EEXIST)
}

// pidsOf returns the numbers of a process, the innermost first.
func pidsOf(pid int) ([]int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return nil, err
	}
	_, line, _ := strings.Cut(string(text), "\nNSpid:")
	line, _, _ = strings.Cut(line, "\n")
	var list []int
	for _, f := range strings.Fields(line) {
		n, err := strconv.Atoi(f)
		if err != nil {
			return nil, fmt.Errorf("NSpid of process %d: %w", pid, err)
		}
		list = append(list, n)
	}
	slices.Reverse(list)
	return list, nil
}

// setLastPID has an agent say which pid was the last in its pid namespace.
func (e *executor) setLastPID(ctx context.Context, by, last int) error {
	var p agent.Program
	what := fmt.Sprintf("set ns_last_pid to %d", last)
	fd := p.Call(what, unix.SYS_OPENAT, agent.Int(agent.ProcFD), agent.String(strings.TrimPrefix(lastPIDFile, "/proc/")), agent.Int(unix.O_WRONLY|unix.O_CLOEXEC))
	text := strconv.Itoa(last)
	p.Call(what, unix.SYS_WRITE, fd.Ret(), agent.String(text), agent.Int(len(text)))
	p.Call(what, unix.SYS_CLOSE, fd.Ret())
	return e.agents[by].Run(ctx, &p)
}

// checkPIDs wants of every holder the pids that the plan gives it, as the dump saw
// them.
func (s *Standing) checkPIDs(live *topology.Graph) error {
	tasks := leaders(live)
	for _, step := range s.plan.Steps {
		if len(step.PIDs) == 0 {
			continue
		}
		pid := s.e.agents[step.New].PID()
		t := tasks[pid]
		if t == nil || len(t.NSPID) < len(step.PIDs) {
			return fmt.Errorf("holder %d of %s: its pids are not to be seen", pid, step.born().Name())
		}
		for i, want := range step.PIDs {
			if got := t.NSPID[len(t.NSPID)-1-i]; got != want {
				return fmt.Errorf("the holder of %s is pid %d where %d was wanted, which went to another process meanwhile: try again", step.born().Name(), got, want)
			}
		}
	}
	return nil
}
