//go:build linux

package dump

import (
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/test/require"
)

// BenchmarkAll dumps a host to which tasks were added, each with five namespaces
// of its own, and says what part of lsns's time for the same that takes.
func BenchmarkAll(b *testing.B) {
	require.Root(b)
	lsns := require.Command(b, "lsns", "util-linux")
	for _, tasks := range []int{0, 500, 2000} {
		b.Run(fmt.Sprintf("tasks=%d", tasks), func(b *testing.B) {
			populate(b, tasks)
			for _, o := range []struct {
				name string
				Options
			}{
				{"graph", Options{NoState: true}},
				{"state", Options{}},
			} {
				b.Run(o.name, func(b *testing.B) {
					b.ReportAllocs()
					var there, here time.Duration
					for b.Loop() {
						start := time.Now()
						if _, err := All(b.Context(), o.Options); err != nil {
							b.Fatal(err)
						}
						here += time.Since(start)
						b.StopTimer()
						start = time.Now()
						if err := exec.Command(lsns, "-n", "-J", "-T=owner", "-o", "NS,TYPE,PNS,ONS").Run(); err != nil {
							b.Fatal(err)
						}
						there += time.Since(start)
						b.StartTimer()
					}
					b.ReportMetric(float64(here)/float64(there), "of-lsns")
				})
			}
		})
	}
}

// BenchmarkTree dumps a tree of a hundred tasks, as between CRIU's freeze and its
// kill: in one container, and each in namespaces of its own.
func BenchmarkTree(b *testing.B) {
	for _, tt := range []struct {
		name  string
		flags nsfs.Type
	}{{"shared", 0}, {"own", nsfs.User | nsfs.PID | nsfs.UTS | nsfs.IPC | nsfs.Mnt}} {
		b.Run(tt.name, func(b *testing.B) {
			root := fork(b, nest(b), nsfs.User|nsfs.PID|nsfs.UTS|nsfs.IPC|nsfs.Mnt|nsfs.Net|nsfs.Cgroup)
			hold(b, root, 99, tt.flags)
			for _, o := range []struct {
				name string
				Options
			}{{"graph", Options{NoState: true}}, {"state", Options{}}} {
				b.Run(o.name, func(b *testing.B) {
					for b.Loop() {
						if _, err := Tree(b.Context(), root.PID(), o.Options); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		})
	}
}

// populate makes tasks that do nothing in namespaces of their own.
func populate(b *testing.B, tasks int) {
	b.Helper()
	hold(b, nest(b), tasks, nsfs.User|nsfs.PID|nsfs.UTS|nsfs.IPC|nsfs.Mnt)
}

func hold(b testing.TB, root *agent.Agent, tasks int, flags nsfs.Type) {
	b.Helper()
	for range tasks {
		a, err := root.Fork(b.Context(), "fork", agent.ForkOptions{Flags: uint64(flags)})
		if err != nil {
			b.Fatal(err)
		}
		if err := a.Hold(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
