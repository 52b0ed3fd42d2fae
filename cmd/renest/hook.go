package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/images"
	"github.com/renest/renest/restore"
)

// What CRIU tells an action script (criu/action-scripts.c). It gives no arguments.
const (
	hookAction = "CRTOOLS_SCRIPT_ACTION"
	hookDir    = "CRTOOLS_IMAGE_DIR"
	hookPID    = "CRTOOLS_INIT_PID"
)

// hookMode is the environment variable that sets the mode, over the configuration.
const hookMode = "RENEST_HOOK"

func hookCommand() *cli.Command {
	return &cli.Command{
		Name:      "hook",
		Usage:     "be CRIU's action script: veto a dump that cannot be restored, save the topology, verify a restore",
		UsageText: "renest hook   (from CRIU)\nrenest hook --install [--for runc,crun] [--mode enforce|warn|off]\nrenest hook --remove",
		Description: "CRIU runs its action script without arguments: renest itself is one, as\n" +
			"CRTOOLS_SCRIPT_ACTION is set then. What it says goes to CRIU's log, each\n" +
			"line beginning with \"renest: \". The mode is that of RENEST_HOOK in the\n" +
			"environment, else of " + hookConfig + " (mode = warn), else enforce.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "install", Usage: "have runtimes run it, through their configuration of CRIU"},
			&cli.BoolFlag{Name: "remove", Usage: "undo --install"},
			&cli.StringFlag{Name: "for", Usage: "install for `WHOM`: runc, crun, criu (CRIU itself, whoever starts it)", Value: "runc,crun"},
			&cli.GenericFlag{Name: "mode", Usage: "set the `MODE`: enforce, warn or off", Value: new(modeValue)},
			&cli.PathFlag{Name: "etc", Usage: "the folder of configurations is `DIR`", Value: "/etc", TakesFile: true},
		},
		Action: runHook,
	}
}

func runHook(c *cli.Context) error {
	if err := noMore(c, 0); err != nil {
		return err
	}
	if err := together(c, "install", "remove"); err != nil {
		return err
	}
	switch {
	case c.Bool("install"):
		return installHook(c)
	case c.Bool("remove"):
		return removeHook(c)
	case os.Getenv(hookAction) == "":
		return usagef("hook: %s is not set: CRIU runs this, see renest hook --help", hookAction)
	}
	return act(c.App.ErrWriter)
}

// act does what CRIU's action asks for. Whatever it says is one line that begins
// with "renest: ", and its error a mere exit code.
func act(w io.Writer) error {
	say := func(line string) {
		for part := range strings.SplitSeq(strings.TrimSpace(line), "\n") {
			fmt.Fprintf(w, "renest: %s\n", printable(part))
		}
	}
	mode := readMode(say)
	action, dir := os.Getenv(hookAction), os.Getenv(hookDir)
	if err := actAs(action, dir, mode, say); err != nil {
		say(action + ": " + err.Error())
		return exitError{code: 1}
	}
	return nil
}

func actAs(action, dir string, mode dump.Mode, say func(string)) error {
	if mode == dump.Off {
		return nil
	}
	switch action {
	case "pre-dump", "post-dump", "pre-restore", "post-restore", "post-resume":
	case "pre-stream", "network-lock", "network-unlock", "setup-namespaces", "post-setup-namespaces",
		"pre-resume", "orphan-pts-master", "status-ready", "query-ext-files":
		return nil
	default:
		say("action " + strconv.Quote(action) + " is unknown to this version, nothing was done")
		return nil
	}
	pid, err := subject(action, dir)
	if err != nil {
		return mode.Guard(func(line string) { say(action + ": " + line) }, func() error { return err })
	}
	during := &dump.Notify{PID: pid, Dir: dir, Save: images.WriteBeside, Mode: mode, Say: say}
	after := &restore.Notify{Dir: dir, Load: images.ReadFile, Mode: mode, Say: say}
	switch action {
	case "pre-dump":
		return preDump(during, say)
	case "post-dump":
		return postDump(during, say)
	case "pre-restore":
		return after.PreRestore()
	case "post-restore":
		return postRestore(after, pid, say)
	default:
		return postResume(after, say)
	}
}

// subject is the root task of the tree that an action is about, 0 before there is one
// and when it does not matter any more.
func subject(action, dir string) (int, error) {
	if dir == "" {
		return 0, errors.New(hookDir + " is not set, which CRIU sets to its folder of images")
	}
	switch action {
	case "pre-restore", "post-resume":
		return 0, nil
	}
	text := os.Getenv(hookPID)
	pid, err := strconv.ParseInt(text, 10, 32)
	if err != nil || pid <= 0 {
		return 0, fmt.Errorf("%s is %q, which CRIU sets to the pid of the root task", hookPID, text)
	}
	return int(pid), nil
}

// hookConfig is where the mode is set for hooks that CRIU starts.
const hookConfig = "/etc/renest/hook.conf"

// readMode reads the mode. A configuration that cannot be read does not switch the
// hook off.
func readMode(say func(string)) dump.Mode {
	if s := os.Getenv(hookMode); s != "" {
		mode, err := dump.ParseMode(s)
		if err != nil {
			say(fmt.Sprintf("%s: %v; taken for enforce", hookMode, err))
		}
		return mode
	}
	path := hookConfig
	if p := os.Getenv("RENEST_HOOK_CONF"); p != "" {
		path = p
	}
	mode := dump.Enforce
	data, err := readHookConfig(path)
	if errors.Is(err, fs.ErrNotExist) {
		return mode
	}
	if err == nil {
		mode, err = parseHookConfig(data)
	}
	if err != nil {
		say(fmt.Sprintf("%s: %v; taken for enforce", path, err))
	}
	return mode
}

// maxHookConfig bounds a configuration.
const maxHookConfig = 64 << 10

// readHookConfig reads a file, and waits for none that is something else: a tree may
// stand still meanwhile.
func readHookConfig(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, errors.Unwrap(err) // the path is named by the caller
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, errors.New("is not a file")
	}
	if st.Size() > maxHookConfig {
		return nil, fmt.Errorf("is longer than %d bytes", maxHookConfig)
	}
	return io.ReadAll(io.LimitReader(f, maxHookConfig))
}

// parseHookConfig reads a configuration: lines of KEY = VALUE, # begins a comment.
func parseHookConfig(data []byte) (dump.Mode, error) {
	mode := dump.Enforce
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || strings.TrimSpace(key) != "mode" {
			return dump.Enforce, fmt.Errorf("line %d: %.80q is not mode = MODE", n, line)
		}
		var err error
		if mode, err = dump.ParseMode(strings.TrimSpace(value)); err != nil {
			return dump.Enforce, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return mode, nil
}

// modeValue is a flag's mode.
type modeValue dump.Mode

func (v *modeValue) Set(s string) error {
	mode, err := dump.ParseMode(s)
	*v = modeValue(mode)
	return err
}

func (v *modeValue) String() string {
	if v == nil {
		return ""
	}
	return dump.Mode(*v).String()
}
