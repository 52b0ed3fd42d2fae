package test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"testing"
	"time"

	"github.com/renest/renest/test/require"
	"github.com/renest/renest/test/vm"
)

// startTree starts a nest on this host and returns its outermost process.
func startTree(t *testing.T) int {
	t.Helper()
	s := deepSpec()
	if os.Geteuid() != 0 {
		s = userSpec()
	}
	cmd := exec.Command(program(t, "nest"), s.String())
	startNest(t, cmd)
	return cmd.Process.Pid
}

// TestPipe sends an image from dump to restore with no file between.
func TestPipe(t *testing.T) {
	pid := startTree(t)
	name := uniqueName("pipe")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	dump := exec.Command(program(t, "renest"), "dump", "-t", fmt.Sprint(pid), "-o", "-")
	dump.Stdout, dump.Stderr = w, os.Stderr
	if err := dump.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	restore := exec.Command(program(t, "renest"), "restore", "-d", "--name", name, "-")
	restore.Stdin = r
	restore.WaitDelay = time.Minute
	out, err := restore.CombinedOutput()
	_ = r.Close()
	if err != nil {
		t.Fatalf("restore: %v\n%s", err, out)
	}
	t.Cleanup(func() { renest(t, 0, "rm", name) })
	if err := dump.Wait(); err != nil {
		t.Fatalf("dump: %v", err)
	}
	renest(t, 0, "diff", fmt.Sprintf("live:%d", pid), "live:"+name)
}

// TestCarried takes an image from every kernel to every other.
func TestCarried(t *testing.T) {
	require.Root(t)
	var kernels []vm.Kernel
	for _, m := range vm.Machines() {
		k, err := vm.Find(m)
		require.That(t, "vm", err)
		kernels = append(kernels, k)
	}
	tools := func(k vm.Kernel) []vm.File { return append(vm.Busybox(k), carryPrograms(t, k.Machine)...) }

	// What each kernel made, by where it lies in a VM that restores it.
	images := map[string][]byte{"/images/host.img": hostImage(t)}
	results := make([]*vm.Result, len(kernels))
	dumped := t.Run("dump", func(t *testing.T) {
		for i, k := range kernels {
			t.Run(k.Machine.String(), func(t *testing.T) {
				t.Parallel()
				results[i] = runInVM(t, k, vm.Job{
					Files:    tools(k),
					Commands: []vm.Command{shell(dumpScript(deepSpec()))},
					Collect:  []string{"/tmp/nest.img"},
				})
			})
		}
	})
	if !dumped {
		return
	}
	for i, k := range kernels {
		image := results[i].Files["/tmp/nest.img"]
		if len(image) == 0 {
			t.Fatalf("%s made no image", k.Machine)
		}
		images[fmt.Sprintf("/images/%s.img", k.Machine)] = image
	}

	t.Run("restore", func(t *testing.T) {
		t.Run("host", func(t *testing.T) { restoreHere(t, images) })
		for _, k := range kernels {
			t.Run(k.Machine.String(), func(t *testing.T) {
				t.Parallel()
				job := vm.Job{Files: tools(k)}
				for name, data := range images {
					job.Files = append(job.Files, vm.File{Path: name, Data: data, Mode: 0o644})
					job.Commands = append(job.Commands, shell(restoreScript(name)))
				}
				runInVM(t, k, job)
			})
		}
	})
}

// hostImage is an image of a nest on this host.
func hostImage(t *testing.T) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nest.img")
	renest(t, 0, "dump", "-t", fmt.Sprint(startTree(t)), "-o", file)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func restoreHere(t *testing.T, images map[string][]byte) {
	for image, data := range images {
		file := filepath.Join(t.TempDir(), path.Base(image))
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		name := uniqueName("carried")
		restoreImage(t, name, file)
		renest(t, 0, "diff", file, "live:"+name)
		renest(t, 0, "rm", name)
	}
}

func shell(script string) vm.Command {
	return vm.Command{Args: []string{"/bin/sh", "-ec", script}, Timeout: 5 * time.Minute}
}

// dumpScript makes a nest and an image of it. Nest ends with its input, so it gets
// one that lasts.
func dumpScript(s spec) string {
	return fmt.Sprintf(`
>/tmp/ready
(sleep 1000 | %[1]s/nest '%[2]s' >/tmp/ready || >/tmp/failed) &
until grep -q '^ready outermost' /tmp/ready; do
	[ ! -e /tmp/failed ]
	sleep 0.1
done
%[1]s/renest dump -t $(sed -n 's/^ready outermost //p' /tmp/ready) -o /tmp/nest.img
`, guestPrograms, s)
}

func restoreScript(image string) string {
	return fmt.Sprintf(`
%[1]s/renest restore -d --name carried %[2]s
%[1]s/renest diff %[2]s live:carried
%[1]s/renest rm carried
`, guestPrograms, image)
}

// runInVM runs a job all of whose commands must exit 0.
func runInVM(t *testing.T, k vm.Kernel, job vm.Job) *vm.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	result, err := vm.Run(ctx, k, job)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range result.Commands {
		if c.Code != 0 || c.Why != "" {
			t.Fatalf("exit code %d %s:\n%s\n%s", c.Code, c.Why, job.Commands[i].Args, c.Output)
		}
	}
	return result
}
