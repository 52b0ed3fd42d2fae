package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/test/vm/wire"
)

// runScript runs the script and reports it.
func runScript() {
	script, err := readScript()
	if err != nil {
		fmt.Fprintln(os.Stderr, "init:", err)
		os.Exit(1)
	}
	port, err := openPort(script.Port)
	if err != nil {
		fmt.Fprintln(os.Stderr, "init:", err)
		os.Exit(1)
	}
	s := &sender{port: port, enc: json.NewEncoder(port)}
	if err := s.run(script); err != nil {
		text := err.Error()
		s.send(wire.Frame{Error: &text})
	}
	s.drain()
}

func readScript() (*wire.Script, error) {
	data, err := os.ReadFile(wire.ScriptPath)
	if err != nil {
		return nil, err
	}
	var script wire.Script
	if err := json.Unmarshal(data, &script); err != nil {
		return nil, fmt.Errorf("%s: %w", wire.ScriptPath, err)
	}
	return &script, nil
}

// openPort opens the port that frames leave by, and makes it leave bytes alone.
func openPort(name string) (*os.File, error) {
	port, err := os.OpenFile(name, os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	t, err := unix.IoctlGetTermios(int(port.Fd()), unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ICANON | unix.ISIG
	if err := unix.IoctlSetTermios(int(port.Fd()), unix.TCSETS, t); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return port, nil
}

// sender sends frames.
type sender struct {
	port *os.File
	mu   sync.Mutex
	enc  *json.Encoder
}

// drain waits until everything has left the port: a power off would cut it, and
// so would a panic.
func (s *sender) drain() {
	// TCSBRK with an argument other than zero is tcdrain(3).
	if err := unix.IoctlSetInt(int(s.port.Fd()), unix.TCSBRK, 1); err != nil {
		fmt.Fprintln(os.Stderr, "init: drain:", err)
	}
}

func (s *sender) send(f wire.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.enc.Encode(f); err != nil {
		fmt.Fprintln(os.Stderr, "init: send:", err)
	}
}

// run runs the script's commands.
func (s *sender) run(script *wire.Script) error {
	s.send(wire.Frame{Booted: &wire.Booted{}})
	s.drain()
	for i, c := range script.Commands {
		start := time.Now()
		code, err := s.command(i, c)
		exit := wire.Exit{Command: i, Code: code, Duration: time.Since(start)}
		if err != nil {
			exit.Why = err.Error()
		}
		s.send(wire.Frame{Exit: &exit})
		s.drain()
	}
	for _, pattern := range script.Collect {
		if err := s.collect(pattern); err != nil {
			return fmt.Errorf("collect %s: %w", pattern, err)
		}
	}
	s.send(wire.Frame{Done: &wire.Done{Commands: len(script.Commands)}})
	return nil
}

// command runs a command and returns its exit code, or -1 and what became of it.
func (s *sender) command(index int, c wire.Command) (int, error) {
	ctx := context.Background()
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("killed after %s", c.Timeout))
		defer cancel()
	}
	env, err := environment(c)
	if err != nil {
		return -1, err
	}
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Env, cmd.Dir = env, c.Dir
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:    true,
		Credential: &syscall.Credential{Uid: uint32(c.UID), Gid: uint32(c.UID)},
	}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	// What a command leaves behind may hold its output open.
	cmd.WaitDelay = 10 * time.Second
	cmd.Stdout = output{s, index, false}
	cmd.Stderr = output{s, index, true}
	return exitCode(ctx, cmd.Run())
}

// exitCode tells an exit, whatever its code, from any other end of a command.
func exitCode(ctx context.Context, err error) (int, error) {
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return -1, context.Cause(ctx)
	case err == nil, errors.Is(err, exec.ErrWaitDelay): // the latter exited with 0 too
		return 0, nil
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode(), nil
	default:
		return -1, err
	}
}

// environment is what login gives a user.
func environment(c wire.Command) ([]string, error) {
	home, runtime := "/root", "/run/user/"+strconv.Itoa(c.UID)
	if c.UID != 0 {
		home = "/tmp"
	}
	if err := os.MkdirAll(runtime, 0o755); err != nil {
		return nil, err
	}
	if err := os.Chmod(runtime, 0o700); err != nil {
		return nil, err
	}
	if err := os.Chown(runtime, c.UID, c.UID); err != nil {
		return nil, err
	}
	return append([]string{
		"PATH=/bin:/sbin", "HOME=" + home, "TMPDIR=/tmp", "XDG_RUNTIME_DIR=" + runtime,
	}, c.Env...), nil
}

// output frames what a command prints.
type output struct {
	s       *sender
	command int
	stderr  bool
}

func (o output) Write(data []byte) (int, error) {
	o.s.send(wire.Frame{Output: &wire.Output{Command: o.command, Stderr: o.stderr, Data: data}})
	return len(data), nil
}

// collect sends the files that match pattern.
func (s *sender) collect(pattern string) error {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		buf := make([]byte, 32<<10)
		for {
			n, err := f.Read(buf)
			s.send(wire.Frame{File: &wire.File{Path: path, Data: buf[:n]}})
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return errors.Join(err, f.Close())
			}
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}
