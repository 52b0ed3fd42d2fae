package test

import (
	"context"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/renest/renest/test/criu"
	"github.com/renest/renest/test/require"
	"github.com/renest/renest/test/suite"
	"github.com/renest/renest/test/vm"
)

// TestVM runs the tests of every package again on each kernel, as root and as an
// ordinary user; on another processor those that depend on it.
func TestVM(t *testing.T) {
	for _, m := range vm.Machines() {
		t.Run(m.String(), func(t *testing.T) {
			k, err := vm.Find(m)
			require.That(t, "vm", err)
			all := testBinaries(t, m.Arch)
			t.Parallel()
			testOnKernel(t, k, all)
		})
	}
}

// promised is what must not be missing on a kernel: a test that needs it and does
// not find it there fails.
func promised(m vm.Machine, uid int) string {
	who := "root"
	if uid != 0 {
		who = "user"
	}
	if m != vm.Stable {
		who += ",listns"
	}
	if hasCRIU(m) && uid == 0 {
		who += ",criu,nf_tables,shape"
	}
	return who
}

// hasCRIU reports whether CRIU, and what of C there is, is carried into a machine.
func hasCRIU(m vm.Machine) bool { return m.Arch == runtime.GOARCH }

// spared is a flag that leaves out what takes longest with CRIU, where emulation is
// slow: the whole of it runs on the host's kernel, and most of it on the newest.
func spared(m vm.Machine) string {
	if m == vm.Stable {
		return "-test.skip=^TestCRIU|^TestCheckRandom$"
	}
	return "-test.skip=^TestCRIUFailure$"
}

// user is who runs tests.
type user struct {
	name string
	uid  int
}

// users are those who run the tests on a machine: what they may do does not depend on
// the processor.
func users(m vm.Machine) []user {
	if m.Arch != runtime.GOARCH {
		return []user{{"root", 0}}
	}
	return []user{{"root", 0}, {"nobody", vm.Nobody}}
}

// round is one test binary as one user.
type round struct {
	binary suite.Binary
	pass   *suite.Pass
}

func testOnKernel(t *testing.T, k vm.Kernel, all []suite.Binary) {
	const limit = 30 * time.Minute
	job := vm.Job{Files: slices.Concat(vm.Busybox(k), carryPrograms(t, k.Machine), carryCRIU(t, k.Machine))}
	var rounds []round
	for _, b := range all {
		if elsewhere(b) {
			job.Files = append(job.Files, carry(t, b)...)
		}
	}
	var passes []*suite.Pass
	for _, user := range users(k.Machine) {
		pass := suite.NewPass(k.Machine.String() + " " + user.name)
		passes = append(passes, pass)
		for _, b := range all {
			if !elsewhere(b) {
				continue
			}
			rounds = append(rounds, round{b, pass})
			job.Commands = append(job.Commands, vm.Command{
				Name: b.Name(),
				Args: append([]string{guestPath(b), "-test.short", spared(k.Machine)}, flags(limit)...),
				Dir:  path.Join("/src", b.Name()),
				Env: []string{
					require.Variable + "=" + promised(k.Machine, user.uid),
					programsVariable + "=" + guestPrograms,
					criu.Variable + "=" + guestCRIU,
				},
				UID:     user.uid,
				Timeout: limit + 10*time.Second,
			})
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 75*time.Minute)
	defer cancel()
	result, err := vm.Run(ctx, k, job)
	if err != nil {
		t.Error(err)
	}
	if result == nil {
		return
	}
	for i, r := range rounds {
		t.Run(r.pass.Name+" "+r.binary.Name(), func(t *testing.T) {
			c := result.Commands[i]
			if c.Why != "" {
				t.Error(c.Why)
			}
			settle(t, r.pass, r.binary, c.Code, c.Output)
		})
	}
	if t.Failed() {
		t.Logf("the kernel's log:\n%s", result.Console)
	}
	for _, pass := range passes {
		if err := pass.Leave(); err != nil {
			t.Error(err)
		}
	}
}

func guestPath(b suite.Binary) string { return "/tests/" + filepath.Base(b.Path) }

// guestPrograms is where the programs are in a VM.
const guestPrograms = "/programs"

// carryPrograms lists the programs for a VM.
func carryPrograms(t *testing.T, m vm.Machine) []vm.File {
	t.Helper()
	var files []vm.File
	for _, pkg := range programs() {
		name := path.Base(pkg)
		files = append(files, vm.File{Path: path.Join(guestPrograms, name), Host: programOn(t, m.Arch, name)})
	}
	if m.Arch == runtime.GOARCH {
		files = append(files, vm.File{Path: path.Join(guestPrograms, "shape"), Host: shapeProgram(t)})
	}
	return files
}

// guestCRIU is where CRIU is in a VM.
const guestCRIU = "/opt/criu"

// carryCRIU lists CRIU for a VM.
func carryCRIU(t *testing.T, m vm.Machine) []vm.File {
	t.Helper()
	if !hasCRIU(m) {
		return nil
	}
	i, err := criu.Find()
	require.That(t, "criu", err)
	files, err := i.Files(guestCRIU)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// carry lists what a test binary needs in a VM.
func carry(t *testing.T, b suite.Binary) []vm.File {
	t.Helper()
	files := []vm.File{{Path: guestPath(b), Host: b.Path}, {Path: path.Join("/src", b.Name())}}
	names, err := b.Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		files = append(files, vm.File{
			Path: path.Join("/src", b.Name(), name),
			Host: filepath.Join(filepath.Dir(b.Testdata), name),
			Mode: 0o644,
		})
	}
	return files
}
