package test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/checkpoint-restore/go-criu/v7"
	"github.com/checkpoint-restore/go-criu/v7/rpc"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/images"
	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
)

// containerTokens is a tree that CRIU restores as it was.
const containerTokens = "user=0:100000:65536 mnt pid net uts ipc ( name=root PIVOT ( ( ) ) ( net ) ) reap leave"

// withHook has CRIU run renest as its action script, in a mode.
func (d criuDir) withHook(t *testing.T, mode string) criuDir {
	t.Helper()
	d.env = append(d.env, "RENEST_HOOK="+mode)
	d.args = append(d.args, "--action-script", program(t, "renest"))
	return d
}

// saidBy are the lines of a log that renest's hook wrote.
func saidBy(log string) string {
	var b strings.Builder
	for line := range strings.Lines(log) {
		if strings.HasPrefix(line, "renest: ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// The destructive dump is vetoed while the tree runs; in mode warn it goes on.
func TestHookVetoesDestruction(t *testing.T) {
	for _, test := range []struct{ name, tokens string }{
		{"net", "sid name=root ( net )"},
		{"mnt", "sid name=root ( mnt )"},
		{"descriptor", "( sid name=root own=uts uts ) leave"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startShape(t, test.tokens)
			log, err := newCRIUDir(t, "").withHook(t, "enforce").dump(t, s.root)
			if err == nil || !alive(s.root) {
				t.Errorf("criu dump: %v, the tree runs: %v", err, alive(s.root))
			}
			if said := saidBy(log); !strings.Contains(said, "vetoed by renest") || !strings.Contains(said, "pre-dump") {
				t.Errorf("renest says: %s\n%s", said, log)
			}
			log, err = newCRIUDir(t, "").withHook(t, "off").dump(t, s.root)
			if err != nil || alive(s.root) || saidBy(log) != "" {
				t.Errorf("off: criu dump: %v, the tree runs: %v, renest says: %s", err, alive(s.root), saidBy(log))
			}
		})
	}
	s := startShape(t, "sid name=root ( net )")
	log, err := newCRIUDir(t, "").withHook(t, "warn").dump(t, s.root)
	if err != nil || !strings.Contains(saidBy(log), "the mode is warn") {
		t.Errorf("warn: criu dump: %v, renest says: %s", err, saidBy(log))
	}
}

// The topology is in CRIU's folder after a dump, and a restore is verified by it.
func TestHookSavesAndVerifies(t *testing.T) {
	root := shapeRoot(t)
	d := newCRIUDir(t, root).withHook(t, "enforce")
	s := startShape(t, strings.ReplaceAll(containerTokens, "PIVOT", "pivot="+root+" sid"))
	before, err := dump.Tree(t.Context(), s.root, dump.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if log, err := d.dump(t, s.root); err != nil {
		t.Fatalf("criu dump: %v\n%s%s", err, saidBy(log), errorsOf(log))
	}
	saved, err := images.ReadFile(d.dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := topology.Isomorphic(before, saved, topology.CompareOptions{Tasks: true}); err != nil {
		t.Errorf("the image: %v", err)
	}
	// One picture of both images, and of CRIU's alone.
	if out := renest(t, 0, "show", d.dir); !strings.Contains(out, "CRIU's images agree: 4 tasks") {
		t.Errorf("renest show: %s", out)
	}
	pid, log, err := d.restore(t)
	if err != nil || !strings.Contains(saidBy(log), "renest: verified: ") || !strings.Contains(saidBy(log), "post-resume: the tree runs: verified: ") {
		t.Fatalf("criu restore: %v\n%s%s", err, saidBy(log), errorsOf(log))
	}
	if left, _ := filepath.Glob(d.dir + "/renest-*"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	d.end(t, pid)

	// Undamaged, and another topology.
	for _, n := range saved.Namespaces {
		if n.UTS != nil && !n.External {
			n.UTS.NodeName = "forged"
		}
	}
	if err := images.WriteDir(d.dir, saved); err != nil {
		t.Fatal(err)
	}
	record := filepath.Join(d.dir, "renest.json") // of renest criu, which sees to itself
	if err := os.WriteFile(record, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, log, err := d.restore(t); err == nil || !strings.Contains(saidBy(log), "is not what was dumped") {
		t.Errorf("forged: criu restore: %v\n%s", err, saidBy(log))
	}
	if err := os.Remove(record); err != nil {
		t.Fatal(err)
	}
	// Damaged.
	file := filepath.Join(d.dir, images.Name)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, log, err := d.restore(t); err == nil || !strings.Contains(saidBy(log), "damaged") {
		t.Errorf("damaged: criu restore: %v\n%s", err, saidBy(log))
	}
	d.env = append(d.env, "RENEST_HOOK=warn")
	pid, log, err = d.restore(t)
	if err != nil || !strings.Contains(saidBy(log), "the mode is warn") {
		t.Fatalf("damaged, warn: criu restore: %v\n%s%s", err, saidBy(log), errorsOf(log))
	}
	d.end(t, pid)
	// None: an older dump.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if out := renest(t, 0, "show", d.dir); !strings.Contains(out, "CRIU does not save them") {
		t.Errorf("renest show: %s", out)
	}
	d.env = append(d.env, "RENEST_HOOK=enforce")
	_, log, err = d.restore(t)
	if err != nil || !strings.Contains(saidBy(log), "nothing is verified") {
		t.Fatalf("no image: criu restore: %v\n%s", err, saidBy(log))
	}
}

// What nobody foresaw: an action of a later CRIU, no variables, no such process.
func TestHookBadInput(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	task := exec.Command("sleep", "1000")
	if err := task.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = task.Process.Kill(), task.Wait() }()
	readOnly := []string{"CRTOOLS_IMAGE_DIR=/proc", fmt.Sprintf("CRTOOLS_INIT_PID=%d", task.Process.Pid)}
	unwritten := fmt.Sprintf("write the topology of pid %d beside CRIU's images", task.Process.Pid)
	for _, test := range []struct {
		name string
		env  []string
		want string // said, and exit code 1 where it begins with !
	}{
		{"later action", []string{"CRTOOLS_SCRIPT_ACTION=post-mortem", "CRTOOLS_IMAGE_DIR=/"}, `action "post-mortem" is unknown`},
		{"later action alone", []string{"CRTOOLS_SCRIPT_ACTION=post-mortem"}, `action "post-mortem" is unknown`},
		{"no dir", []string{"CRTOOLS_SCRIPT_ACTION=post-dump", "CRTOOLS_INIT_PID=1"}, "!CRTOOLS_IMAGE_DIR is not set"},
		{"no pid", []string{"CRTOOLS_SCRIPT_ACTION=pre-dump", "CRTOOLS_IMAGE_DIR=/"}, `!CRTOOLS_INIT_PID is ""`},
		{"no pid, warn", []string{"CRTOOLS_SCRIPT_ACTION=pre-dump", "CRTOOLS_IMAGE_DIR=/", "RENEST_HOOK=warn"}, "renest: pre-dump: CRTOOLS_INIT_PID is \"\""},
		{"read-only dir", append([]string{"CRTOOLS_SCRIPT_ACTION=post-dump"}, readOnly...), "!" + unwritten},
		{"read-only dir, warn", append([]string{"CRTOOLS_SCRIPT_ACTION=post-dump", "RENEST_HOOK=warn"}, readOnly...), unwritten},
		{"read-only dir, off", append([]string{"CRTOOLS_SCRIPT_ACTION=post-dump", "RENEST_HOOK=off"}, readOnly...), ""},
		{"pid of nobody", []string{"CRTOOLS_SCRIPT_ACTION=pre-dump", "CRTOOLS_IMAGE_DIR=/", "CRTOOLS_INIT_PID=-1"}, `!CRTOOLS_INIT_PID is "-1"`},
		{"pid gone", []string{"CRTOOLS_SCRIPT_ACTION=pre-dump", "CRTOOLS_IMAGE_DIR=/", "CRTOOLS_INIT_PID=99999999"}, "!no such process"},
		{"off", []string{"CRTOOLS_SCRIPT_ACTION=pre-dump", "RENEST_HOOK=off"}, ""},
		{"odd mode", []string{"CRTOOLS_SCRIPT_ACTION=pre-resume", "CRTOOLS_IMAGE_DIR=/", "RENEST_HOOK=maybe"}, "taken for enforce"},
		{"not of interest", []string{"CRTOOLS_SCRIPT_ACTION=network-lock", "CRTOOLS_IMAGE_DIR=/"}, ""},
		{"not of interest, alone", []string{"CRTOOLS_SCRIPT_ACTION=pre-stream"}, ""},
		{"configuration of pipe", []string{"CRTOOLS_SCRIPT_ACTION=network-lock", "RENEST_HOOK_CONF=" + pipe}, "is not a file; taken for enforce"},
		{"endless configuration", []string{"CRTOOLS_SCRIPT_ACTION=network-lock", "RENEST_HOOK_CONF=/dev/zero"}, "is not a file; taken for enforce"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, program(t, "renest"))
			cmd.Env = append([]string{"RENEST_HOOK_CONF=/nonexistent"}, test.env...)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			err := cmd.Run()
			want, fails := strings.CutPrefix(test.want, "!")
			if (err != nil) != fails || !strings.Contains(stderr.String(), want) || want == "" && stderr.Len() != 0 {
				t.Errorf("%v: %s", err, stderr.String())
			}
			if saidBy(stderr.String()) != stderr.String() {
				t.Errorf("a line does not begin with renest: %s", stderr.String())
			}
		})
	}
}

// A caller of go-criu gets all of it from two values.
func TestNotify(t *testing.T) {
	root := shapeRoot(t)
	d := newCRIUDir(t, root)
	s := startShape(t, strings.ReplaceAll(containerTokens, "PIVOT", "pivot="+root+" sid"))
	var said []string
	say := func(line string) { said = append(said, line) }

	dir, err := os.Open(d.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	opts := &rpc.CriuOpts{
		Pid: proto.Int32(int32(s.root)), ImagesDirFd: proto.Int32(int32(dir.Fd())),
		LogLevel: proto.Int32(4), LogFile: proto.String("dump.log"), NotifyScripts: proto.Bool(true),
		ManageCgroupsMode: rpc.CriuCgMode_IGNORE.Enum(), NetworkLock: rpc.CriuNetworkLockMethod_NFTABLES.Enum(),
	}
	c := criu.MakeCriu()
	c.SetCriuPath(d.criu.Path())
	if err := c.Dump(opts, &dump.Notify{PID: s.root, Dir: d.dir, Save: images.WriteBeside, Say: say}); err != nil {
		t.Fatalf("dump: %v, %q", err, said)
	}
	if _, err := images.ReadFile(d.dir); err != nil {
		t.Error(err)
	}
	opts.LogFile, opts.Root, opts.RstSibling = proto.String("restore.log"), proto.String(root), proto.Bool(true)
	after := &notified{Notify: restore.Notify{Dir: d.dir, Load: images.ReadFile, Say: say}}
	if err := c.Restore(opts, after); err != nil {
		t.Fatalf("restore: %v, %q", err, said)
	}
	d.end(t, after.pid)
	if !strings.Contains(strings.Join(said, "\n"), "post-resume: the tree runs: verified: ") {
		t.Errorf("said %q", said)
	}

	s = startShape(t, "sid name=root ( net )")
	opts.Pid, opts.Root, opts.RstSibling = proto.Int32(int32(s.root)), nil, nil
	if err := c.Dump(opts, &dump.Notify{PID: s.root, Dir: d.dir, Save: images.WriteBeside}); err == nil || !alive(s.root) {
		t.Errorf("a destructive dump: %v, the tree runs: %v", err, alive(s.root))
	}
}

// notified keeps the pid.
type notified struct {
	restore.Notify
	pid int
}

func (r *notified) PostRestore(pid int32) error {
	r.pid = int(pid)
	return r.Notify.PostRestore(pid)
}
