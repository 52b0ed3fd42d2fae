package test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/renest/renest/images"
	"github.com/renest/renest/test/criu"
	"github.com/renest/renest/test/require"
)

// TestPodmanCheckpoint has podman checkpoint and restore a container, through crun and
// through runc, with the hook where renest hook --install puts it: podman needs nothing
// more. The topology is in the checkpoint and in an exported one, the restore is
// verified, and a tampered image is caught.
func TestPodmanCheckpoint(t *testing.T) {
	i := criu.Require(t)
	busybox := require.Busybox(t)
	require.Command(t, "podman", "podman")
	require.Command(t, "runc", "runc")
	for name, runtime := range map[string]string{
		"crun": filepath.Join(i.Bin(), "crun"), // the system's may not know CRIU
		"runc": require.Command(t, "runc", "runc"),
	} {
		t.Run(name, func(t *testing.T) {
			p := newPodman(t, runtime, busybox)
			archive := filepath.Join(p.dir, "checkpoint.tar")
			p.run(t, "container", "checkpoint", "--compress", "none", "--leave-running", "--export", archive, p.name)
			listed, err := exec.Command("tar", "-tf", archive).CombinedOutput()
			if err != nil || !strings.Contains(string(listed), "checkpoint/"+images.Name+"\n") {
				t.Errorf("%s is not in the exported checkpoint: %v: %s", images.Name, err, listed)
			}

			p.run(t, "container", "checkpoint", "--keep", p.name)
			file := filepath.Join(p.userdata(t), "checkpoint", images.Name)
			whole, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			renest(t, 0, "show", filepath.Dir(file))

			tampered := bytes.Clone(whole)
			tampered[len(tampered)/2] ^= 1
			if err := os.WriteFile(file, tampered, 0o600); err != nil {
				t.Fatal(err)
			}
			if said, err := p.try("container", "restore", "--keep", p.name); err == nil || !strings.Contains(p.log(t), "is damaged") {
				t.Errorf("a tampered image is not caught: %s%s", said, saidBy(p.log(t)))
			}
			if err := os.WriteFile(file, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			p.run(t, "container", "restore", "--keep", p.name)
			if !strings.Contains(p.log(t), "renest: verified: ") {
				t.Errorf("the hook says: %s", saidBy(p.log(t)))
			}
		})
	}
}

// podman is a podman with a storage of its own, and a container in it.
type podman struct {
	dir, name string
	global    []string // options
	mounts    string   // the mount namespace of all its commands, "" the caller's
}

func newPodman(t *testing.T, runtime, busybox string) *podman {
	t.Helper()
	dir, err := os.MkdirTemp(builds.dir, "podman-") //nolint:usetesting // removed when the container is gone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	rootfs := filepath.Join(dir, "rootfs")
	if err := os.MkdirAll(filepath.Join(rootfs, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	copyProgram(t, busybox, filepath.Join(rootfs, "bin/busybox"))
	conf := filepath.Join(dir, "containers.conf")
	if err := os.WriteFile(conf, []byte("[engine]\nlock_type = \"file\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := &podman{dir: dir, name: uniqueName("renest-podman"), global: []string{
		"--root", dir + "/storage", "--runroot", dir + "/run", "--tmpdir", dir + "/tmp", "--storage-driver", "vfs",
		"--events-backend", "none", "--cgroup-manager", "cgroupfs", "--runtime", runtime,
	}}
	t.Setenv("CONTAINERS_CONF", conf)
	p.mounts = cgroup2Mounts(t)
	renest(t, 0, "hook", "--install", "--etc", dir)
	criuConf := filepath.Join(dir, "criu", filepath.Base(runtime)+".conf")
	withTestOptions(t, criuConf)
	t.Cleanup(func() {
		if said, err := p.try("rm", "--force", "--time", "0", p.name); err != nil {
			t.Errorf("podman rm: %v: %s", err, said)
		}
		waitFor(t, "podman's cgroups are gone", func() bool { return removeCgroups(p.name) })
	})
	p.run(t, "run", "--detach", "--pidfile", dir+"/pid", "--name", p.name, "--annotation", "org.criu.config="+criuConf,
		// Limits that whoever runs this may set, and that take no controller.
		"--network", "none", "--cgroup-parent", "/"+p.name, "--pids-limit", "-1", "--ulimit", "nproc=4096:4096", "--ulimit", "nofile=1024:1024",
		"--rootfs", rootfs, "/bin/busybox", "sh", "-c", "while :; do /bin/busybox sleep 1000; done")
	sleeps(t, dir+"/pid")
	return p
}

// removeCgroups removes the cgroups that podman or containerd leaves, where nobody is in
// them any more, and reports whether all are gone.
func removeCgroups(name string) bool {
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		dirs, _ := filepath.Glob(pattern + name)
		for _, dir := range dirs {
			inner, _ := os.ReadDir(dir)
			for _, child := range inner {
				if child.IsDir() {
					_ = os.Remove(filepath.Join(dir, child.Name()))
				}
			}
			if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return false
			}
		}
	}
	return true
}

// cgroup2Mounts makes a mount namespace in which /sys/fs/cgroup is a cgroup2, where the
// host has hierarchies of version 1 too, which crun does not like.
func cgroup2Mounts(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat("/sys/fs/cgroup/unified"); err != nil {
		return ""
	}
	cmd := exec.Command("unshare", "--mount", "sh", "-c", "mount -t cgroup2 cgroup2 /sys/fs/cgroup && echo && exec cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatalf("mount cgroup2: %v", err)
	}
	return fmt.Sprintf("/proc/%d/ns/mnt", cmd.Process.Pid)
}

func (p *podman) command(args ...string) *exec.Cmd {
	args = append(append([]string{"podman"}, p.global...), args...)
	if p.mounts != "" {
		args = append([]string{"nsenter", "--mount=" + p.mounts, "--"}, args...)
	}
	return exec.Command(args[0], args[1:]...)
}

// try runs a command and returns what it says. It goes to a file, as what it starts may
// keep a pipe open.
func (p *podman) try(args ...string) (said string, err error) {
	file, err := os.CreateTemp(p.dir, "said-")
	if err != nil {
		return "", err
	}
	defer file.Close()
	cmd := p.command(args...)
	cmd.Stdout, cmd.Stderr = file, file
	err = cmd.Run()
	text, _ := os.ReadFile(file.Name())
	return string(text), err
}

func (p *podman) run(t *testing.T, args ...string) {
	t.Helper()
	if said, err := p.try(args...); err != nil {
		t.Fatalf("podman %s: %v: %s\n%s", strings.Join(args, " "), err, said, errorsOf(p.log(t)))
	}
}

// userdata is where podman keeps what belongs to the container.
func (p *podman) userdata(t *testing.T) string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(p.dir, "storage/vfs-containers/*/userdata"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("%d containers: %v", len(dirs), err)
	}
	return dirs[0]
}

// log is what CRIU wrote at the restore, or before one at the dump.
func (p *podman) log(t *testing.T) string {
	t.Helper()
	var log string
	for _, name := range []string{"dump.log", "restore.log"} {
		logs, _ := filepath.Glob(filepath.Join(p.dir, "storage/vfs-containers/*/userdata", name))
		for _, file := range logs {
			if data, err := os.ReadFile(file); err == nil {
				log = string(data)
			}
		}
	}
	return log
}
