package bench

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/test/require"
	"github.com/renest/renest/topology"
)

// BenchmarkCaps asks what a task of the host may do to a net namespace whose owner
// is some user namespaces down, a thousand times, beside a C program that climbs
// the same descriptors, with neither's start, by the time of the processor; and once,
// with both, and beside a renest that only starts.
func BenchmarkCaps(b *testing.B) {
	climb, renest := compile(b, "climb"), build(b)
	const questions = 1000
	for _, depth := range []int{1, 4, 16} {
		b.Run(fmt.Sprintf("depth=%d", depth), func(b *testing.B) {
			task, leaf := strconv.Itoa(os.Getpid()), deep(b, depth)
			path := fmt.Sprintf("/proc/%d/ns/net", leaf)
			ask := asker(b, task, path)
			contest(b, 9,
				contender{name: "caps-1000", run: func() (time.Duration, error) { return ask(questions) }},
				contender{name: "climb-1000", budget: 2, run: func() (time.Duration, error) { return climbed(climb, questions, task, path) }},
			)
		})
		b.Run(fmt.Sprintf("depth=%d/start", depth), func(b *testing.B) {
			task, leaf := strconv.Itoa(os.Getpid()), deep(b, depth)
			path := fmt.Sprintf("/proc/%d/ns/net", leaf)
			contest(b, 9,
				contender{name: "renest-caps", run: timed(renest, "caps", task, path)},
				contender{name: "renest-version", run: timed(renest, "--version")},
				contender{name: "climb", run: timed(climb, "1", task, path)},
			)
		})
	}
}

// deep makes a chain of user namespaces with a net namespace at its end, and
// returns a task in it.
func deep(b *testing.B, depth int) int {
	b.Helper()
	proc, err := os.Open("/proc")
	if err != nil {
		b.Fatal(err)
	}
	defer proc.Close()
	crew, err := agent.Start(b.Context(), agent.Options{Proc: proc, Name: "renest: " + b.Name()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = crew.Close() })
	a := crew.Root()
	for i := range depth {
		flags := uint64(unix.CLONE_NEWUSER)
		if i == depth-1 {
			flags |= unix.CLONE_NEWNET
		}
		child, err := a.Fork(b.Context(), "fork", agent.ForkOptions{Flags: flags})
		if err != nil {
			require.That(b, "userns", err)
		}
		var p agent.Program
		for _, file := range []struct{ name, text string }{{"setgroups", "deny"}, {"uid_map", ids(i, os.Geteuid())}, {"gid_map", ids(i, os.Getegid())}} {
			path := fmt.Sprintf("%d/%s", child.PID(), file.name)
			fd := p.Call("open "+path, unix.SYS_OPENAT, agent.Int(agent.ProcFD), agent.String(path), agent.Int(unix.O_WRONLY|unix.O_CLOEXEC))
			p.Call("write "+path, unix.SYS_WRITE, fd.Ret(), agent.String(file.text), agent.Int(len(file.text)))
			p.Call("close", unix.SYS_CLOSE, fd.Ret())
		}
		if err := a.Run(b.Context(), &p); err != nil {
			b.Fatal(err)
		}
		a = child
	}
	return a.PID()
}

// ids maps root to who is there one level up.
func ids(level, id int) string {
	if level > 0 {
		id = 0
	}
	return fmt.Sprintf("0 %d 1", id)
}

// asker returns what asks dump, and wants an answer that makes sense.
func asker(b *testing.B, task, path string) func(int) (time.Duration, error) {
	b.Helper()
	t, err := dump.ParseTaskReference(task)
	if err != nil {
		b.Fatal(err)
	}
	ns, err := dump.ParseReference(path)
	if err != nil {
		b.Fatal(err)
	}
	host, err := dump.OpenHost()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = host.Close() })
	return func(questions int) (time.Duration, error) {
		start := processorTime()
		for range questions {
			a, err := host.Authority(b.Context(), t, ns)
			if err != nil {
				return 0, err
			}
			if a.Rule != topology.CapCreator && a.Rule != topology.CapOwn {
				return 0, fmt.Errorf("rule %s", a.Rule)
			}
		}
		return processorTime() - start, nil
	}
}

// processorTime is what this process has taken of the processors.
func processorTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t) // which every kernel has
	return time.Duration(t.Nano())
}

// climbed runs the C program, which times itself.
func climbed(program string, questions int, task, path string) (time.Duration, error) {
	out, err := exec.Command(program, strconv.Itoa(questions), task, path).Output()
	if err != nil {
		return 0, err
	}
	var held uint64
	var took int64
	if _, err := fmt.Sscanf(string(out), "%x %d", &held, &took); err != nil {
		return 0, fmt.Errorf("climb said %q: %w", out, err)
	}
	return time.Duration(took), nil
}
