package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/renest/renest/test/require"
)

// BenchmarkDump counts a host with 500 and with 2,000 more processes, each in five
// namespaces of its own.
func BenchmarkDump(b *testing.B) {
	require.Root(b)
	lsns := require.Command(b, "lsns", "util-linux")
	renest, census, crowd := build(b), compile(b, "census"), compile(b, "crowd")
	peers := peers(b)
	for _, n := range []int{500, 2000} {
		b.Run(fmt.Sprintf("tasks=%d", n), func(b *testing.B) {
			gather(b, crowd, n)
			image := filepath.Join(b.TempDir(), "all.img")
			contest(b, 5, append([]contender{
				{name: "renest-list", run: timed(renest, "list")},
				{name: "renest-list-json", run: timed(renest, "list", "--json")},
				{name: "renest-dump", run: timed(renest, "dump", "--all", "--source", "proc", "-o", image)},
				{name: "floor", run: timed(census)},
				{name: "lsns", budget: 1.0 / 6, run: timed(lsns, "-n", "-J", "-T=owner", "-o", "NS,TYPE,PNS,ONS")},
			}, peers...)...)
			reportSize(b, renest, image, 5*n)
		})
	}
}

// BenchmarkDumpAuto is the same with what renest takes where it may choose.
func BenchmarkDumpAuto(b *testing.B) {
	require.Root(b)
	renest := build(b)
	gather(b, compile(b, "crowd"), 2000)
	image := filepath.Join(b.TempDir(), "all.img")
	contest(b, 5,
		contender{name: "renest-auto", run: timed(renest, "dump", "--all", "-o", image)},
		contender{name: "renest-proc", run: timed(renest, "dump", "--all", "--source", "proc", "-o", image)},
	)
}

// reportSize reports what a dump takes of memory, and its image of disk.
func reportSize(b *testing.B, renest, image string, namespaces int) {
	b.Helper()
	cmd := exec.Command(renest, "dump", "--all", "--source", "proc", "-o", image)
	if err := cmd.Run(); err != nil {
		b.Fatal(err)
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	info, err := os.Stat(image)
	if !ok || err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(usage.Maxrss)/1024, "peak-MiB")
	b.ReportMetric(float64(info.Size())/float64(namespaces), "image-B/namespace")
}
