package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/tracee"
)

// tracer follows a program and all its processes.
type tracer struct {
	spoiling
	report  report
	leader  int // the program
	threads map[int]*thread
	// early are threads that stopped before their maker said who made them.
	early map[int]bool
	crew  []int // who dies together
	over  bool  // nothing is left to spoil
	ended bool  // the program has ended
}

// thread is one traced thread.
type thread struct {
	*process
	spoil bool // the call it is in
}

// process is what places are counted in.
type process struct {
	path     string
	children int
	calls    map[string]int
	// agent: it has executed an agent; foreign: something else, which is none of
	// the tested program's business.
	agent, foreign bool
}

func newTracer(s spoiling) *tracer {
	return &tracer{spoiling: s, threads: map[int]*thread{}, early: map[int]bool{}}
}

const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK |
	unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_EXITKILL

// trace runs a program to its end and returns its exit code.
func (t *tracer) trace(args []string) (int, error) {
	if err := t.start(args); err != nil {
		return 0, err
	}
	code := 0
	for len(t.threads) > 0 {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WALL, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("wait4: %w", err)
		}
		if status.Stopped() {
			if err := t.stopped(pid, status); err != nil && !errors.Is(err, unix.ESRCH) { // ESRCH: killed meanwhile
				return 0, fmt.Errorf("thread %d: %w", pid, err)
			}
			continue
		}
		delete(t.threads, pid)
		if pid == t.leader {
			if code = status.ExitStatus(); status.Signaled() {
				code = 128 + int(status.Signal())
			}
			t.ended = true
			for other := range t.threads {
				_ = unix.PtraceInterrupt(other) // to be let go when it stops
			}
		}
	}
	return code, nil
}

// start executes the program, stopped, and seizes it: what is traced by
// PTRACE_TRACEME could not be let go again while it runs.
func (t *tracer) start(args []string) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	t.leader = cmd.Process.Pid
	var status unix.WaitStatus
	if _, err := unix.Wait4(t.leader, &status, 0, nil); err != nil {
		return fmt.Errorf("wait4: %w", err)
	}
	if !status.Stopped() {
		return errors.New("the program does not stop when it is executed")
	}
	if err := tracee.Request(unix.PTRACE_DETACH, t.leader, uintptr(unix.SIGSTOP)); err != nil {
		return fmt.Errorf("detach: %w", err)
	}
	if err := tracee.Request(unix.PTRACE_SEIZE, t.leader, options); err != nil {
		return fmt.Errorf("seize: %w", err)
	}
	t.threads[t.leader] = &thread{process: &process{path: "0", calls: map[string]int{}}}
	t.crew = []int{t.leader}
	return unix.Kill(t.leader, unix.SIGCONT)
}

// stopped deals with a thread that has stopped, and has it go on.
func (t *tracer) stopped(pid int, status unix.WaitStatus) error {
	th := t.threads[pid]
	if th == nil {
		t.early[pid] = true
		return nil
	}
	signal, event := status.StopSignal(), int(status)>>16
	switch {
	case signal == unix.SIGTRAP|0x80:
		if err := t.call(pid, th); err != nil {
			return err
		}
		signal = 0
	case event == unix.PTRACE_EVENT_CLONE || event == unix.PTRACE_EVENT_FORK || event == unix.PTRACE_EVENT_VFORK:
		if err := t.made(pid, th); err != nil {
			return err
		}
		signal = 0
	case event == unix.PTRACE_EVENT_STOP && (signal == unix.SIGSTOP || signal == unix.SIGTSTP):
		return tracee.Request(unix.PTRACE_LISTEN, pid, 0)
	case event == unix.PTRACE_EVENT_EXEC:
		t.executed(pid, th)
		signal = 0
	case event != 0:
		signal = 0
	}
	return t.resume(pid, signal)
}

// resume has a stopped thread go on, to its next system call where that matters,
// untraced where the program is gone.
func (t *tracer) resume(pid int, signal unix.Signal) error {
	switch {
	case t.ended:
		delete(t.threads, pid)
		return tracee.Request(unix.PTRACE_DETACH, pid, uintptr(signal))
	case t.over && !t.threads[pid].spoil:
		return tracee.Request(unix.PTRACE_CONT, pid, uintptr(signal))
	}
	return tracee.Request(unix.PTRACE_SYSCALL, pid, uintptr(signal))
}

// made notes a thread or a process that th has made.
func (t *tracer) made(pid int, th *thread) error {
	msg, err := unix.PtraceGetEventMsg(pid)
	if err != nil {
		return fmt.Errorf("event: %w", err)
	}
	child := int(msg)
	p := th.process
	if !sameProcess(pid, child) {
		p.children++
		p = &process{path: fmt.Sprintf("%s.%d", p.path, p.children), calls: map[string]int{}, agent: p.agent, foreign: p.foreign}
	}
	t.threads[child] = &thread{process: p}
	if !t.early[child] {
		return nil
	}
	delete(t.early, child)
	return t.resume(child, 0)
}

// executed notes what a process has become. The first agent of its kind is one who
// takes care that nothing remains.
func (t *tracer) executed(pid int, th *thread) {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil || pid == t.leader {
		return
	}
	th.agent = strings.HasPrefix(exe, "/memfd:renest-agent")
	th.foreign = !th.agent
	if th.agent {
		t.crew = append(t.crew, pid)
	}
}

// sameProcess reports whether two threads are of one process.
func sameProcess(a, b int) bool {
	_, err := os.Stat(fmt.Sprintf("/proc/%d/task/%d", a, b))
	return err == nil
}

// call deals with a thread at the beginning or the end of a system call.
func (t *tracer) call(pid int, th *thread) error {
	if th.spoil {
		th.spoil = false
		if t.kill != "" {
			t.killAll()
			return nil
		}
		return setResult(pid, -int64(t.errno))
	}
	if t.over || th.foreign {
		return nil
	}
	c, ok, err := enteredCall(pid)
	if err != nil || !ok {
		return err
	}
	name := c.kind(!th.agent)
	if name == "" {
		return nil
	}
	th.calls[name]++
	p := place{Name: fmt.Sprintf("%s/%s/%d", th.path, name, th.calls[name])}
	if t.at == "" {
		p.What = c.text(pid)
		t.report.Places = append(t.report.Places, p)
	}
	if p.Name != t.at {
		return nil
	}
	t.over, t.report.Hit = true, true
	switch {
	case t.kill == "":
		th.spoil = true
		if name == "close" {
			return nil // a close that fails has closed all the same
		}
		return skipCall(pid)
	case t.after:
		th.spoil = true
	default:
		t.killAll()
	}
	return nil
}

// killAll kills whom it is told to kill.
func (t *tracer) killAll() {
	who := t.crew
	switch t.kill {
	case "0":
		who = t.crew[:1]
	case "guardians":
		who = t.crew[1:]
	}
	for _, pid := range who {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}
