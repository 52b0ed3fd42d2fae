package vm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/renest/renest/test/vm/wire"
)

// Command is one program to run in a VM.
type Command = wire.Command

// Nobody is the ordinary user of a VM.
const Nobody = 65534

// Job is what a VM is given and what it is to do.
type Job struct {
	Files    []File
	Commands []Command
	Collect  []string  // files to carry out at the end, patterns of filepath.Match
	Memory   int       // MiB, 2048 where zero
	Console  io.Writer // the kernel's log, as it comes; may be nil
}

// Result is what came of a Job.
type Result struct {
	Commands []CommandResult   // as in Job.Commands
	Files    map[string][]byte // what was carried out, by its path in the VM
	Console  string            // the kernel's log
}

// CommandResult is what came of one Command.
type CommandResult struct {
	Output   string // everything it printed, as it came: the streams' order against each other is not the command's
	Stdout   string
	Stderr   string
	Code     int    // exit code; -1 where it did not exit by itself, or never ran
	Why      string // then: a signal, a timeout, no such file
	Duration time.Duration
}

// boots is how often Run tries to boot. QEMU's emulation (seen: 7.2) now and then
// runs a stale instruction where the kernel patches its own code, which it does
// all the while it boots and hardly ever afterwards: one boot in twenty ends in a
// panic.
const boots = 6

// Run boots k, runs the job in it and waits for its end. An exit code other than
// zero is no error; a VM that did not get through its commands is, and what it
// got to is returned with it. When ctx ends, the VM is killed.
func Run(ctx context.Context, k Kernel, job Job) (*Result, error) {
	dir, err := os.MkdirTemp("", "renest-vm-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	initrd, err := makeInitrd(ctx, dir, k, job)
	if err != nil {
		return nil, err
	}
	var result *Result
	for range boots {
		result, err = run(ctx, k, initrd, job)
		if !errors.Is(err, errNoBoot) {
			break
		}
	}
	if err != nil {
		return result, fmt.Errorf("vm with Linux %s: %w", k.Release, err)
	}
	return result, nil
}

// run is one boot.
func run(ctx context.Context, k Kernel, initrd string, job Job) (*Result, error) {
	e := emulators()[k.Machine.Arch]
	qemu, err := exec.LookPath(e.program)
	if err != nil {
		return nil, fmt.Errorf("%w (Debian package %s)", err, e.pkg)
	}
	out, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer out.Close()

	var console bytes.Buffer
	cmd := exec.CommandContext(ctx, qemu, e.arguments(k, initrd, job.Memory)...)
	cmd.ExtraFiles = []*os.File{w} // descriptor 3, named by arguments
	cmd.Stdout = &console
	if job.Console != nil {
		cmd.Stdout = io.MultiWriter(&console, job.Console)
	}
	cmd.Stderr = cmd.Stdout
	// QEMU ends with whoever started it, even by a kill. The signal comes when the
	// thread that forked ends, so this goroutine keeps its thread until then.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = cmd.Start()
	_ = w.Close() // QEMU has its own; the stream ends when QEMU does
	if err != nil {
		return nil, err
	}
	result, readErr := readFrames(out, len(job.Commands))
	if readErr != nil {
		_ = cmd.Process.Kill() // it would block on a pipe that nobody reads
	}
	err = cmd.Wait()
	result.Console = console.String()
	switch {
	case ctx.Err() != nil:
		return result, fmt.Errorf("killed: %w; the console ends: %s", context.Cause(ctx), tail(result.Console))
	case readErr != nil:
		return result, fmt.Errorf("%w; the console ends: %s", readErr, tail(result.Console))
	}
	return result, err
}

// makeInitrd builds init and packs it up with what the job needs.
func makeInitrd(ctx context.Context, dir string, k Kernel, job Job) (string, error) {
	bin := filepath.Join(dir, "init")
	build := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", bin, "github.com/renest/renest/test/vm/init")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+k.Machine.Arch)
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build init: %w: %s", err, bytes.TrimSpace(out))
	}
	script, err := json.Marshal(wire.Script{Port: emulators()[k.Machine.Arch].frames, Commands: job.Commands, Collect: job.Collect})
	if err != nil {
		return "", err
	}
	files, err := moduleFiles(k)
	if err != nil {
		return "", err
	}
	files = append(append(files, baseFiles()...), job.Files...)
	files = append(files, File{Path: "/init", Host: bin}, File{Path: wire.ScriptPath, Data: script})

	initrd := filepath.Join(dir, "initrd")
	f, err := os.Create(initrd)
	if err != nil {
		return "", err
	}
	return initrd, errors.Join(writeCPIO(f, files), f.Close())
}

// baseFiles is what programs expect of any system.
func baseFiles() []File {
	return []File{
		{Path: "/etc/passwd", Data: []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/sh\n"), Mode: 0o644},
		{Path: "/etc/group", Data: []byte("root:x:0:\nnogroup:x:65534:\n"), Mode: 0o644},
		{Path: "/etc/hosts", Data: []byte("127.0.0.1 localhost\n"), Mode: 0o644},
		{Path: "/root", Mode: 0o700},
		{Path: "/bin"},
		{Path: "/sbin"},
		{Path: "/mnt"},
		{Path: "/var"},
	}
}

// tail returns the last lines of s.
func tail(s string) string {
	const most = 2000
	if len(s) > most {
		s = "…" + s[len(s)-most:]
	}
	return s
}
