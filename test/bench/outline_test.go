package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/test/require"
	"github.com/renest/renest/test/suite"
	"github.com/renest/renest/test/vm"
)

// BenchmarkOutline asks listns(2) for 10,000 namespaces: for their ids, types and
// owners, and for all that a list has. The outline is timed without the start of a
// process.
func BenchmarkOutline(b *testing.B) {
	require.Root(b)
	require.That(b, "listns", nsfs.HaveListns())
	lsns := require.Command(b, "lsns", "util-linux")
	renest := build(b)
	gather(b, compile(b, "crowd"), 2000)
	contest(b, 3,
		contender{name: "outline", run: func() (time.Duration, error) {
			start := time.Now()
			list, err := dump.Outline(b.Context())
			if err == nil && len(list) < 10000 {
				err = fmt.Errorf("%d namespaces", len(list))
			}
			return time.Since(start), err
		}},
		contender{name: "renest-list-outline", run: timed(renest, "list", "--outline")},
		contender{name: "renest-list", run: timed(renest, "list")},
		contender{name: "lsns", budget: 1.0 / 100, run: timed(lsns, "-n", "-J", "-T=owner", "-o", "NS,TYPE,PNS,ONS")},
	)
}

// BenchmarkOutlineVM runs that in a VM whose kernel has listns(2).
func BenchmarkOutlineVM(b *testing.B) {
	k, err := vm.Find(vm.Backports)
	require.That(b, "vm", err)
	lsns := require.Command(b, "lsns", "util-linux")
	files := vm.Busybox(k)
	carry := func(to, host string) { files = append(files, vm.File{Path: to, Host: host}) }
	tests, err := suite.Build(b.Context(), b.TempDir(), k.Machine.Arch, suite.Module+"/test/bench")
	if err != nil {
		b.Fatal(err)
	}
	carry("/bench/test", tests[0].Path)
	carry("/bench/renest", build(b))
	carry("/bench/crowd", compile(b, "crowd"))
	carry("/bin/lsns", lsns)
	for _, path := range libraries(b, lsns) {
		carry(path, path)
	}
	for b.Loop() {
		result, err := vm.Run(b.Context(), k, vm.Job{Files: files, Commands: []vm.Command{{
			Args:    []string{"/bench/test", "-test.run=NONE", "-test.bench=BenchmarkOutline$", "-test.benchtime=1x"},
			Env:     []string{built + "=/bench", require.Variable + "=root,listns,lsns"},
			Timeout: 8 * time.Minute,
		}}})
		if err != nil {
			b.Fatal(err)
		}
		if c := result.Commands[0]; c.Code != 0 {
			b.Fatalf("in the VM: exit %d %s\n%s", c.Code, c.Why, c.Output)
		}
		b.Logf("Linux %s:\n%s", k.Release, result.Commands[0].Output)
	}
	b.ReportMetric(0, "ns/op")
}

// libraries lists the shared libraries that a program is linked with.
func libraries(tb testing.TB, program string) []string {
	tb.Helper()
	out, err := exec.Command("ldd", program).Output()
	if err != nil {
		tb.Fatal(err)
	}
	var paths []string
	for field := range strings.FieldsSeq(string(out)) {
		if filepath.IsAbs(field) {
			paths = append(paths, field)
		}
	}
	return paths
}

// built is the environment variable that says where programs are that were built
// elsewhere.
const built = "RENEST_BENCH_PROGRAMS"

// prebuilt returns the path of such a program, empty where there is none.
func prebuilt(name string) string {
	if dir := os.Getenv(built); dir != "" {
		return filepath.Join(dir, name)
	}
	return ""
}
