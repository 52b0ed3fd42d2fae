package test

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// container is a container that runs program nest.
type container struct {
	runtime, id string
	pid         int // of its init
	stop        func()
}

// startContainer makes a bundle by hand and runs it.
func startContainer(t *testing.T, runtime string, s spec) container {
	t.Helper()
	bundle := makeBundle(t, s)
	c := container{runtime: runtime, id: uniqueName("renest-" + runtime)}
	run := c.command("run", "--no-new-keyring", "--bundle", bundle, c.id)
	stop := startNest(t, run)
	t.Cleanup(func() { c.delete(t) })

	out, err := c.command("state", c.id).Output()
	if err != nil {
		t.Fatalf("%s state: %v", runtime, err)
	}
	var state struct{ PID int }
	if err := json.Unmarshal(out, &state); err != nil {
		t.Fatalf("%s state: %v", runtime, err)
	}
	c.pid, c.stop = state.PID, stop
	return c
}

// command is one of the runtime's commands. crun works on a pure hierarchy of
// cgroups only; where systemd has a hybrid one it gets a pure one to itself.
func (c container) command(args ...string) *exec.Cmd {
	_, err := os.Stat("/sys/fs/cgroup/unified")
	if c.runtime != "crun" || err != nil {
		return exec.Command(c.runtime, args...)
	}
	const script = `mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec crun "$@"`
	return exec.Command("unshare", append([]string{"--mount", "sh", "-c", script, "crun"}, args...)...)
}

// destroy kills the container and deletes what its runtime keeps of it.
func (c container) destroy(t *testing.T) {
	t.Helper()
	if out, err := c.command("kill", c.id, "KILL").CombinedOutput(); err != nil {
		t.Fatalf("%s kill: %v: %s", c.runtime, err, out)
	}
	c.stop()
	c.delete(t)
}

func (c container) delete(t *testing.T) {
	t.Helper()
	if out, err := c.command("delete", "--force", c.id).CombinedOutput(); err != nil {
		t.Logf("%s delete: %v: %s", c.runtime, err, out) // it may be deleted already
	}
}

// makeBundle makes an OCI bundle whose one program is nest. The container has the
// privileges that nesting takes, in a user namespace of its own; /proc is without
// masks, or no further one could be mounted in it.
func makeBundle(t *testing.T, s spec) string {
	t.Helper()
	bundle, err := os.MkdirTemp(builds.dir, "bundle-") //nolint:usetesting // the container's root has to get there
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(bundle) })
	rootfs := filepath.Join(bundle, "rootfs")
	for _, dir := range []string{bundle, rootfs, filepath.Join(rootfs, "proc"), filepath.Join(rootfs, "dev"), filepath.Join(rootfs, "bin")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	copyProgram(t, program(t, "nest"), filepath.Join(rootfs, "bin/nest"))
	data, err := json.Marshal(bundleConfig(s))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	return bundle
}

func bundleConfig(s spec) any {
	type object = map[string]any
	capabilities := []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
		"CAP_SETPCAP", "CAP_SETFCAP", "CAP_NET_ADMIN", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE",
		"CAP_SYS_ADMIN", "CAP_SYS_TIME", "CAP_CHECKPOINT_RESTORE",
	}
	var namespaces []object
	for _, kind := range []string{"user", "pid", "mount", "uts", "ipc", "network", "cgroup"} {
		namespaces = append(namespaces, object{"type": kind})
	}
	ids := []object{{"containerID": 0, "hostID": 100000, "size": 65536}}
	return object{
		"ociVersion": "1.0.2",
		"hostname":   "container",
		"root":       object{"path": "rootfs"},
		"process": object{
			"args": []string{"/bin/nest", s.String()},
			"env":  []string{"PATH=/bin"},
			"cwd":  "/",
			"user": object{"uid": 0, "gid": 0},
			"capabilities": object{
				"bounding": capabilities, "effective": capabilities,
				"permitted": capabilities, "inheritable": capabilities,
			},
		},
		"mounts": []object{
			{"destination": "/proc", "type": "proc", "source": "proc"},
			{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": []string{"nosuid", "mode=755"}},
		},
		"linux": object{"namespaces": namespaces, "uidMappings": ids, "gidMappings": ids},
	}
}

func copyProgram(t *testing.T, from, to string) {
	t.Helper()
	src, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(dst, src)
	if cerr := dst.Close(); err != nil || cerr != nil {
		t.Fatal(err, cerr)
	}
}
