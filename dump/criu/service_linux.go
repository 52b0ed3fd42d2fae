package criu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	gocriu "github.com/checkpoint-restore/go-criu/v7"
	"github.com/checkpoint-restore/go-criu/v7/rpc"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
)

// MinVersion is the oldest CRIU that restores inside a user namespace, in the form
// of go-criu's GetCriuVersion: 4.1.1 fails on every socket ("Can't get 1:16 opt").
const MinVersion = 40200

// Wire is the two ends of a connection to a CRIU that is yet to be started. The one
// for CRIU is given to a crew of agents as one of its files.
type Wire struct {
	ours   *os.File
	theirs *os.File
}

// NewWire makes a connection.
func NewWire() (*Wire, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	// Only a descriptor that does not block can be interrupted by a deadline.
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, errors.Join(err, unix.Close(fds[0]), unix.Close(fds[1]))
	}
	return &Wire{os.NewFile(uintptr(fds[0]), "criu"), os.NewFile(uintptr(fds[1]), "criu service")}, nil
}

// File is CRIU's end.
func (w *Wire) File() *os.File { return w.theirs }

// Close closes both ends. A CRIU at the other one gives up what it is at.
func (w *Wire) Close() error {
	err := w.ours.Close()
	if w.theirs != nil {
		err = errors.Join(err, w.theirs.Close())
		w.theirs = nil
	}
	return err
}

// Program says how to start CRIU in an agent.
type Program struct {
	Path string // of CRIU, in the agent's mount namespace
	// Descriptors of the agents' table: of the wire's end, of the standard input
	// and of the log, and more, which CRIU sees as 4, 5, …
	Wire, Stdin, Log int
	More             []int
}

// Service is a CRIU that was started, and does one thing: `criu swrk`.
type Service struct {
	wire *Wire
	pid  int
	wait func(context.Context) (syscall.WaitStatus, error)
}

// Arguments are those that a CRIU is executed with, to find its end of the wire.
func Arguments() []string { return []string{"criu", "swrk", strconv.Itoa(WireFD)} }

// Environment is that of the process, without a hook of renest's that CRIU is
// configured with: it has nothing to do here.
func Environment() []string { return append([]string{"RENEST_HOOK=off"}, os.Environ()...) }

// Descriptors of a CRIU beyond the standard ones: its end of the wire, and the first of
// [Program.More].
const (
	WireFD         = 3
	FirstInherited = 4
)

// Start executes CRIU where the agent is. The wire stays the caller's.
func Start(ctx context.Context, a *agent.Agent, w *Wire, p Program) (*Service, error) {
	run, err := a.StartCommand(ctx, agent.Command{
		Path: p.Path, Args: Arguments(), Env: Environment(),
		Files: [3]int{p.Stdin, p.Log, p.Log}, More: append([]int{p.Wire}, p.More...),
		// It sees the wire's end, and then undoes what it has begun. Killed, it
		// would leave its parasites in the tasks.
		Outlive: true,
	})
	if err != nil {
		return nil, fmt.Errorf("start CRIU: %w", err)
	}
	return Started(w, run.PID, run.Wait)
}

// Started is a CRIU that somebody else has executed with an end of the wire. wait
// waits for its end.
func Started(w *Wire, pid int, wait func(context.Context) (syscall.WaitStatus, error)) (*Service, error) {
	// CRIU has its own. With ours, and that of the agents, closed its end would
	// be seen; the agents' is closed with them.
	err := w.theirs.Close()
	w.theirs = nil
	return &Service{wire: w, pid: pid, wait: wait}, err
}

// PID is CRIU's, in the caller's pid namespace.
func (s *Service) PID() int { return s.pid }

// Wait waits for CRIU's end.
func (s *Service) Wait(ctx context.Context) error {
	status, err := s.wait(ctx)
	if err != nil {
		return fmt.Errorf("CRIU: %w", err)
	}
	if code := status.ExitStatus(); code != 0 {
		return fmt.Errorf("CRIU: %s", describe(status))
	}
	return nil
}

func describe(s syscall.WaitStatus) string {
	if s.Signaled() {
		return "killed by " + s.Signal().String()
	}
	return fmt.Sprintf("exit status %d", s.ExitStatus())
}

// maxAnswer bounds what CRIU says in one message.
const maxAnswer = 1 << 16

// Do has CRIU carry out a request. Meanwhile it tells notify how far it is; an error
// of notify ends the request: CRIU gives up, resumes what it has frozen, and kills
// what it has made. The last two arguments are optional.
func (s *Service) Do(ctx context.Context, what rpc.CriuReqType, opts *rpc.CriuOpts, notify gocriu.Notify) (*rpc.CriuResp, error) {
	stop := context.AfterFunc(ctx, func() { _ = s.wire.ours.Close() })
	defer stop()
	unwatch, err := s.watch()
	if err != nil {
		return nil, err
	}
	defer unwatch()
	if notify != nil {
		opts.NotifyScripts = new(true)
	}
	req := &rpc.CriuReq{Type: &what, Opts: opts}
	var veto error
	for {
		answer, err := s.exchange(req)
		switch {
		case veto != nil && (err != nil || answer.GetType() != rpc.CriuReqType_NOTIFY):
			return nil, veto // CRIU says no more than that it failed
		case err != nil && ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil:
			return nil, err
		case answer.GetType() != rpc.CriuReqType_NOTIFY:
			return answer, failure(answer, what)
		}
		ok := true
		if veto == nil {
			veto = tell(notify, answer.GetNotify())
			ok = veto == nil
		} // else it undoes what it did, and says so
		req = &rpc.CriuReq{Type: rpc.CriuReqType_NOTIFY.Enum(), NotifySuccess: new(ok)}
	}
}

// watch has the reading of answers end with CRIU: agents have its end of the wire too, so
// that one that is killed would be waited for. What it has said before can still be read.
func (s *Service) watch() (stop func(), err error) {
	silence := func() {
		if raw, err := s.wire.ours.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RD) })
		}
	}
	pidfd, err := nsfs.OpenProcess(s.pid)
	if errors.Is(err, nsfs.ErrGone) {
		silence()
		return func() {}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("CRIU: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer unix.Close(pidfd)
		if nsfs.AwaitEnd(ctx, pidfd) == nil {
			silence()
		}
	}()
	return func() { cancel(); <-done }, nil
}

// ErrFailed is returned, wrapped, where CRIU reports a failure: its log has why.
var ErrFailed = errors.New("CRIU failed")

func failure(answer *rpc.CriuResp, what rpc.CriuReqType) error {
	if answer.GetSuccess() && answer.GetType() == what {
		return nil
	}
	if msg := strings.TrimSpace(answer.GetCrErrmsg()); msg != "" && !harmless(msg) {
		return fmt.Errorf("%w: %s", ErrFailed, msg)
	}
	if no := answer.GetCrErrno(); no != 0 {
		return fmt.Errorf("%w: %w", ErrFailed, syscall.Errno(no))
	}
	return ErrFailed
}

func (s *Service) exchange(req *rpc.CriuReq) (*rpc.CriuResp, error) {
	b, err := proto.Marshal(req)
	if err != nil {
		return nil, err
	}
	if _, err := s.wire.ours.Write(b); err != nil {
		return nil, fmt.Errorf("%w: it is gone: %w", ErrFailed, err)
	}
	buf := make([]byte, maxAnswer)
	n, err := s.wire.ours.Read(buf)
	if err != nil || n == 0 {
		return nil, fmt.Errorf("%w: it ended without an answer", ErrFailed)
	}
	if n == maxAnswer {
		return nil, fmt.Errorf("%w: its answer is longer than %d bytes", ErrFailed, maxAnswer)
	}
	answer := new(rpc.CriuResp)
	if err := proto.Unmarshal(buf[:n], answer); err != nil {
		return nil, fmt.Errorf("%w: its answer: %w", ErrFailed, err)
	}
	return answer, nil
}

// tell passes a notification on. Those that go-criu does not know are answered.
func tell(n gocriu.Notify, what *rpc.CriuNotify) error {
	if n == nil {
		return nil
	}
	switch what.GetScript() {
	case "pre-dump":
		return n.PreDump()
	case "post-dump":
		return n.PostDump()
	case "pre-restore":
		return n.PreRestore()
	case "post-restore":
		return n.PostRestore(what.GetPid())
	case "network-lock":
		return n.NetworkLock()
	case "network-unlock":
		return n.NetworkUnlock()
	case "setup-namespaces":
		return n.SetupNamespaces(what.GetPid())
	case "post-setup-namespaces":
		return n.PostSetupNamespaces()
	case "post-resume":
		return n.PostResume()
	}
	return nil
}

// Why returns the lines of CRIU's log that say what went wrong, the last five, for an
// error's text. The log is read to a bound.
func Why(log string) string {
	f, err := os.Open(log)
	if err != nil {
		return ""
	}
	defer f.Close()
	const bound = 4 << 20
	if st, err := f.Stat(); err == nil && st.Size() > bound {
		_, _ = f.Seek(-bound, 2)
	}
	buf := make([]byte, bound)
	n, _ := readFull(f, buf)
	var lines []string
	for line := range bytes.SplitSeq(buf[:n], []byte("\n")) {
		if bytes.Contains(line, []byte("Error (")) && !harmless(string(line)) {
			lines = append(lines, "CRIU: "+strings.TrimSpace(string(line)))
		}
	}
	// What is to blame comes late: the first ones are of what CRIU tries.
	if len(lines) > 5 {
		lines = lines[len(lines)-5:]
	}
	return strings.Join(lines, "\n")
}

// harmless reports whether an error is one that CRIU makes nothing of: without
// CAP_SYS_RESOURCE it has it at every start.
func harmless(line string) bool { return strings.Contains(line, "RLIMIT_NOFILE for self") }

func readFull(f *os.File, buf []byte) (n int, err error) {
	for n < len(buf) {
		k, err := f.Read(buf[n:])
		n += k
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
