package bench

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/renest/renest/test/require"
)

// BenchmarkDump counts a host with 2,000 more processes in 10,000 namespaces.
func BenchmarkDump(b *testing.B) {
	require.Root(b)
	lsns := require.Command(b, "lsns", "util-linux")
	renest, census := build(b), compile(b, "census")
	gather(b, compile(b, "crowd"), 2000)
	image := filepath.Join(b.TempDir(), "all.img")

	contest(b, 5,
		contender{name: "renest-dump", run: timed(renest, "dump", "--all", "--source", "proc", "-o", image)},
		contender{name: "renest-list", run: timed(renest, "list")},
		contender{name: "floor", run: timed(census)},
		contender{name: "lsns", budget: 1.0 / 6, run: timed(lsns, "-n", "-J", "-T=owner", "-o", "NS,TYPE,PNS,ONS")},
	)
	reportSize(b, renest, image)
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
func reportSize(b *testing.B, renest, image string) {
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
	b.ReportMetric(float64(info.Size())/10000, "image-B/namespace")
}
