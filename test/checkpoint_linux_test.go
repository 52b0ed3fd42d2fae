package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/renest/renest/images"
	"github.com/renest/renest/test/criu"
	"github.com/renest/renest/test/require"
)

// TestRuntimeCheckpoint has runc and crun checkpoint and restore a container by
// their own commands, with the hook where renest hook --install puts it: the
// topology is in the checkpoint, the restore is verified, and a tampered image is
// caught.
func TestRuntimeCheckpoint(t *testing.T) {
	i := criu.Require(t)
	busybox := require.Busybox(t)
	require.Command(t, "runc", "runc") // not in a VM
	for _, runtime := range []string{"runc", "crun"} {
		t.Run(runtime, func(t *testing.T) {
			path := filepath.Join(i.Bin(), "crun") // the system's may not know CRIU
			if runtime == "runc" {
				path = require.Command(t, "runc", "runc")
			}
			c := newCheckpointed(t, path, i, busybox)
			c.run(t, "run", "--detach", "--pid-file", c.dir+"/pid", "--bundle", c.dir, c.id)
			sleeps(t, c.dir+"/pid")
			c.run(t, "checkpoint", "--image-path", c.dir+"/images", "--work-path", c.dir+"/work", c.id)
			if _, err := images.ReadFile(c.dir + "/images"); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(c.dir, "images", images.Name)
			whole, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			restore := []string{"restore", "--detach", "--image-path", c.dir + "/images", "--work-path", c.dir + "/work", "--bundle", c.dir, c.id}

			tampered := append([]byte{}, whole...)
			tampered[len(tampered)/2] ^= 1
			if err := os.WriteFile(file, tampered, 0o600); err != nil {
				t.Fatal(err)
			}
			if c.try(nil, restore...) == nil || !strings.Contains(c.log(t), "is damaged") {
				t.Errorf("a tampered image is not caught: %s", c.log(t))
			}
			_ = c.try(nil, "delete", "--force", c.id)

			if err := os.WriteFile(file, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			c.run(t, restore...)
			if !strings.Contains(c.log(t), "renest: verified: ") {
				t.Errorf("the hook says: %s", saidBy(c.log(t)))
			}
		})
	}
}

// checkpointed is a container that is checkpointed and restored.
type checkpointed struct {
	runtime, dir, id string
	env              []string
}

func newCheckpointed(t *testing.T, runtime string, i criu.Installation, busybox string) checkpointed {
	t.Helper()
	dir, err := os.MkdirTemp(builds.dir, "checkpoint-") //nolint:usetesting // removed when the container is gone
	if err != nil {
		t.Fatal(err)
	}
	c := checkpointed{
		runtime: runtime, dir: dir, id: uniqueName("renest-checkpoint"),
		env: append(os.Environ(), "PATH="+i.Bin()+":"+os.Getenv("PATH")),
	}
	for _, d := range []string{"rootfs/bin", "rootfs/proc", "rootfs/dev", "rootfs/tmp", "images", "work"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	copyProgram(t, busybox, filepath.Join(dir, "rootfs/bin/busybox"))
	renest(t, 0, "hook", "--install", "--etc", dir)
	conf := filepath.Join(dir, "criu", strings.TrimSuffix(filepath.Base(runtime), ".sh")+".conf")
	withTestOptions(t, conf)
	c.config(t, conf)
	t.Cleanup(func() {
		_ = c.try(nil, "delete", "--force", c.id)
		_ = os.RemoveAll(dir)
	})
	return c
}

// withTestOptions adds to a configuration of CRIU's what a test wants: iptables(8) may
// not be there, and of hierarchies of version 1 CRIU makes cgroups anew that nobody
// removes, inside one another.
func withTestOptions(t *testing.T, conf string) {
	t.Helper()
	text, err := os.ReadFile(conf)
	text = append(text, "network-lock nftables\n"...)
	if _, v1 := os.Stat("/sys/fs/cgroup/unified"); v1 == nil {
		text = append(text, "manage-cgroups=ignore\n"...)
	}
	if err == nil {
		err = os.WriteFile(conf, text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// config writes the bundle. Its annotation says which configuration file CRIU reads,
// in place of the one below /etc/criu.
func (c checkpointed) config(t *testing.T, conf string) {
	t.Helper()
	type object = map[string]any
	var namespaces []object
	for _, kind := range []string{"pid", "mount", "uts", "ipc", "network"} {
		namespaces = append(namespaces, object{"type": kind})
	}
	data, err := json.Marshal(object{
		"ociVersion":  "1.0.2",
		"hostname":    "container",
		"annotations": object{"org.criu.config": conf},
		"root":        object{"path": "rootfs"},
		"process": object{
			// Without the caller's descriptors, which are of no container.
			"args": []string{"/bin/busybox", "sh", "-c", "exec <&- >&- 2>&-; while :; do /bin/busybox sleep 1000; done"},
			"cwd":  "/", "user": object{"uid": 0, "gid": 0},
		},
		"mounts": []object{
			{"destination": "/proc", "type": "proc", "source": "proc"},
			{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": []string{"nosuid", "mode=755"}},
		},
		"linux": object{"namespaces": namespaces},
	})
	if err == nil {
		err = os.WriteFile(filepath.Join(c.dir, "config.json"), data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// try runs one of the runtime's commands. The runtimes themselves keep no pipe open,
// but what they start may.
func (c checkpointed) try(out *os.File, args ...string) error {
	cmd := container{runtime: filepath.Base(c.runtime)}.command(args...)
	if cmd.Args[0] == filepath.Base(c.runtime) { // and not a shell that looks for it in PATH
		cmd.Path, cmd.Err = c.runtime, nil
	}
	cmd.Env, cmd.Stdout, cmd.Stderr = c.env, out, out
	return cmd.Run()
}

func (c checkpointed) run(t *testing.T, args ...string) {
	t.Helper()
	file, err := os.CreateTemp(c.dir, "said-")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	err = c.try(file, args...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		said, _ := os.ReadFile(file.Name())
		t.Fatalf("%s %s: %v: %s\n%s", c.runtime, args[0], err, said, errorsOf(c.log(t)))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// sleeps waits until the container with that file has its shell wait for sleep: before
// that it may still be its runtime that prepares it.
func sleeps(t *testing.T, pidFile string) {
	t.Helper()
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, fmt.Sprintf("container %d sleeps", pid), func() bool {
		for _, child := range children(pid) {
			args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child))
			if strings.HasSuffix(string(args), "\x00sleep\x001000\x00") {
				return true
			}
		}
		return false
	})
}

// log is what CRIU wrote last.
func (c checkpointed) log(t *testing.T) string {
	t.Helper()
	var log string
	for _, name := range []string{"dump.log", "restore.log"} {
		if data, err := os.ReadFile(filepath.Join(c.dir, "work", name)); err == nil {
			log = string(data)
		}
	}
	return log
}
