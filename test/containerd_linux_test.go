package test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/renest/renest/images"
	"github.com/renest/renest/test/criu"
	"github.com/renest/renest/test/require"
)

// TestContainerdCheckpoint has containerd checkpoint a container and restore it by
// runc, with the hook where renest hook --install puts it: containerd needs nothing
// more. The topology is in the checkpoint that containerd keeps, the restore is
// verified, and the container goes on counting. A bit that is wrong in containerd's
// store, which it does not look at again, is caught.
func TestContainerdCheckpoint(t *testing.T) {
	d := newContainerd(t)
	d.start(t, "first", nil)
	before := d.dump(t, "first")

	blob := d.checkpoint(t, checkpointName)
	saved := filepath.Join(d.dir, "saved")
	if err := os.Mkdir(saved, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("tar", "-xf", blob, "-C", saved).CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	if out := renest(t, 0, "show", saved); !strings.Contains(out, "CRIU's images agree") {
		t.Errorf("renest show: %s", out)
	}

	mend := tamper(t, blob, filepath.Join(saved, images.Name))
	said, err := d.try("containers", "restore", "--live", "tampered", checkpointName)
	if log := d.log(t, "tampered"); err == nil || !strings.Contains(saidBy(log), "is damaged") {
		t.Errorf("a tampered image is not caught: %v: %s%s", err, said, saidBy(log))
	}
	mend()
	d.restore(t, "again")
	if log := d.log(t, "again"); !strings.Contains(saidBy(log), "renest: verified: ") {
		t.Errorf("the hook says: %s", saidBy(log))
	}
	waitFor(t, fmt.Sprintf("the container counts on from %d", before), func() bool { return d.count() > before })
}

// TestContainerdSharedPIDNamespace has a container of a pod restored into the pid
// namespace of another: CRIU enters that for all its children, where the hook cannot
// look at what there is. It says so, and does not fail what it knows nothing against.
func TestContainerdSharedPIDNamespace(t *testing.T) {
	d := newContainerd(t)
	file := filepath.Join(d.dir, "pid")
	d.start(t, "pod", []string{"--pid-file", file}, "/bin/busybox", "sh", "-c", "while :; do /bin/busybox sleep 1000; done") // it reaps
	pid, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d.start(t, "member", []string{"--with-ns", "pid:/proc/" + strings.TrimSpace(string(pid)) + "/ns/pid"})
	waitFor(t, "the container counts", func() bool { return d.count() > 2 }) // it executes its program
	d.run(t, "task", "checkpoint", "--image-path", d.dir+"/images", "--work-path", d.dir+"/work", "member")
	log, err := os.ReadFile(filepath.Join(d.dir, "work/dump.log"))
	// What was foreseen is not said again of a dump that CRIU has made.
	if err != nil || strings.Count(saidBy(string(log)), "CRIU refuses") != 1 {
		t.Errorf("%v, the hook says: %s", err, saidBy(string(log)))
	}
	before := d.dump(t, "member")
	d.restore(t, "again")
	if log := d.log(t, "again"); !strings.Contains(saidBy(log), "nothing is verified") {
		t.Errorf("the hook says: %s", saidBy(log))
	}
	waitFor(t, fmt.Sprintf("the container counts on from %d", before), func() bool { return d.count() > before })
}

// tamper has one bit wrong of a file's content where a blob has it, until it is mended.
func tamper(t *testing.T, blob, file string) (mend func()) {
	t.Helper()
	whole, err := os.ReadFile(blob)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(whole, content)
	if at < 0 {
		t.Fatalf("%s has no %s as it is", blob, file)
	}
	write := func(b []byte) {
		if err := os.WriteFile(blob, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tampered := bytes.Clone(whole)
	tampered[at+len(content)/2] ^= 1
	write(tampered)
	return func() { write(whole) }
}

// containerd is a containerd of the test's own.
type containerd struct {
	dir, name string
	init      int    // of the pid namespace in which it is
	conf      string // of CRIU's
}

// newContainerd starts one that has an image, and the hook installed.
func newContainerd(t *testing.T) *containerd {
	t.Helper()
	criu.Require(t)
	busybox := require.Busybox(t)
	require.Command(t, "runc", "runc")
	d := startContainerd(t)
	d.conf = filepath.Join(d.dir, "criu/runc.conf")
	renest(t, 0, "hook", "--install", "--for", "runc", "--etc", d.dir)
	withTestOptions(t, d.conf)
	d.run(t, "image", "import", writeImage(t, d.dir, busybox))
	return d
}

// startContainerd starts one in a pid and a mount namespace of its own: whatever it
// has started, mounted and left in /run goes when its init does, which is when the
// test's end of a pipe is closed, even by the test's death.
func startContainerd(t *testing.T) *containerd {
	t.Helper()
	path := require.Command(t, "containerd", "containerd")
	require.Command(t, "ctr", "containerd")
	dir, err := os.MkdirTemp(builds.dir, "containerd-") //nolint:usetesting // removed when containerd is gone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := &containerd{dir: dir, name: uniqueName("renest-containerd")}
	t.Cleanup(func() { waitFor(t, "containerd's cgroups are gone", func() bool { return removeCgroups(d.name) }) })
	conf := filepath.Join(dir, "containerd.toml")
	if err := os.WriteFile(conf, []byte("version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "containerd.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	// The shell reaps what is orphaned while it waits for cat.
	cmd := exec.Command("sh", "-c", `mount -t proc proc /proc && mount -t tmpfs tmpfs /run && { "$@" <&- & cat; }`, "sh",
		path, "--config", conf, "--root", dir+"/root", "--state", dir+"/state", "--address", d.socket())
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS}
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	d.init = cmd.Process.Pid
	t.Cleanup(func() {
		if said, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("containerd says: %s", said)
		}
		_ = in.Close()
		_ = cmd.Wait()
	})
	waitFor(t, "containerd answers", func() bool { _, err := d.try("version"); return err == nil })
	return d
}

func (d *containerd) socket() string { return filepath.Join(d.dir, "socket") }

// try runs one of ctr's commands, which may wait for ever for what does not happen, and
// returns what it says.
func (d *containerd) try(args ...string) (said string, err error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), 3*time.Minute, errors.New("ctr hangs"))
	defer cancel()
	args = append([]string{"--target", strconv.Itoa(d.init), "--mount", "--pid", "--", "ctr", "--address", d.socket()}, args...)
	cmd := exec.CommandContext(ctx, "nsenter", args...)
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	return string(out), errors.Join(err, context.Cause(ctx))
}

func (d *containerd) run(t *testing.T, args ...string) string {
	t.Helper()
	said, err := d.try(args...)
	if err != nil {
		t.Fatalf("ctr %s: %v: %s", strings.Join(args, " "), err, said)
	}
	return said
}

// start starts a container, with options of ctr run, to count, or for another command.
func (d *containerd) start(t *testing.T, id string, options []string, command ...string) {
	t.Helper()
	args := []string{
		"run", "--detach", "--null-io", "--annotation", "org.criu.config=" + d.conf,
		"--cgroup", "/" + d.name + "/" + id, "--cpu-shares", "0", // which takes no controller
	}
	d.run(t, append(append(append(args, options...), imageName, id), command...)...)
}

// dump checkpoints a container that counts, ends it, and returns how far it was.
func (d *containerd) dump(t *testing.T, id string) (count int) {
	t.Helper()
	waitFor(t, "the container counts", func() bool { return d.count() > 2 })
	d.run(t, "containers", "checkpoint", "--task", id, checkpointName)
	count = d.count()
	d.run(t, "task", "rm", "--force", id)
	d.run(t, "containers", "rm", id)
	return count
}

// restore makes a container of the checkpoint.
func (d *containerd) restore(t *testing.T, id string) {
	t.Helper()
	if said, err := d.try("containers", "restore", "--live", id, checkpointName); err != nil {
		t.Fatalf("ctr containers restore: %v: %s%s", err, said, errorsOf(d.log(t, id)))
	}
}

// count is how far the container is, 0 if that cannot be seen just now.
func (d *containerd) count() (n int) {
	for _, pid := range family(d.init) {
		environ, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		for v := range strings.SplitSeq(string(environ), "\x00") {
			if text, ok := strings.CutPrefix(v, "COUNT="); ok {
				at, _ := strconv.Atoi(text)
				n = max(n, at)
			}
		}
	}
	return n
}

// checkpoint is the file in which containerd keeps CRIU's images, a tar archive.
func (d *containerd) checkpoint(t *testing.T, ref string) string {
	t.Helper()
	for line := range strings.Lines(d.run(t, "image", "ls")) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != ref {
			continue
		}
		var index struct {
			Manifests []struct{ MediaType, Digest string }
		}
		if err := json.Unmarshal([]byte(d.run(t, "content", "get", f[2])), &index); err != nil {
			t.Fatal(err)
		}
		for _, m := range index.Manifests {
			if strings.HasSuffix(m.MediaType, ".criu.tar") {
				return filepath.Join(d.dir, "root/io.containerd.content.v1.content/blobs", strings.ReplaceAll(m.Digest, ":", "/"))
			}
		}
	}
	t.Fatalf("%s has no images of CRIU's", ref)
	return ""
}

// log is what CRIU wrote at the restore of a container.
func (d *containerd) log(t *testing.T, id string) string {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(d.dir, "root/io.containerd.runtime.v2.task/default", id, "restore.log"))
	if err != nil {
		t.Error(err)
	}
	return string(log)
}

const (
	imageName      = "renest.test/counter:1"
	checkpointName = "renest.test/checkpoint:1"
)

// writeImage makes a container image of a busybox that counts in memory; what it is
// at, a child has in its environment.
func writeImage(t *testing.T, dir, busybox string) string {
	t.Helper()
	program, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	layer := makeTar(t, file{"bin/busybox", program}, file{"proc/", nil}, file{"dev/", nil}, file{"sys/", nil})
	type object = map[string]any
	config := marshal(t, object{
		"architecture": "amd64", "os": "linux",
		"config": object{"Cmd": []string{"/bin/busybox", "sh", "-c", "while :; do n=$((n+1)); COUNT=$n /bin/busybox usleep 10000; done"}},
		"rootfs": object{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
	})
	manifest := marshal(t, []object{{"Config": "config.json", "RepoTags": []string{imageName}, "Layers": []string{"layer.tar"}}})
	path := filepath.Join(dir, "image.tar")
	image := makeTar(t, file{"manifest.json", manifest}, file{"config.json", config}, file{"layer.tar", layer})
	if err := os.WriteFile(path, image, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// file is one of an archive, a folder where its name ends in a slash.
type file struct {
	name string
	data []byte
}

func makeTar(t *testing.T, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		err := w.WriteHeader(&tar.Header{Name: f.name, Size: int64(len(f.data)), Mode: 0o755})
		if err == nil {
			_, err = w.Write(f.data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
