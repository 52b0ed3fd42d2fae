package bench

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/test/require"
)

// container is what each process of a crowd has of its own.
const container = unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNS

// BenchmarkRestoreShapes restores trees of other shapes than a crowd: where one
// namespace has to wait for the other, where none has to, and with net namespaces,
// which take the kernel longer than all others together.
func BenchmarkRestoreShapes(b *testing.B) {
	require.Root(b)
	renest, floor := build(b), compile(b, "tree")
	const seed = 1
	random := rand.New(rand.NewPCG(seed, seed))
	for _, shape := range []struct {
		name   string
		flags  int
		n      int
		parent func(i int) int
	}{
		{"chain-31", container, 31, func(i int) int { return i - 1 }},
		{"fan-1000", unix.CLONE_NEWUSER | unix.CLONE_NEWUTS, 1000, func(int) int { return -1 }},
		{"random-200", container, 200, func(i int) int { return random.IntN(i+1) - 1 }},
		{"net-50", unix.CLONE_NEWUSER | unix.CLONE_NEWNET, 50, func(int) int { return -1 }},
	} {
		b.Run(shape.name, func(b *testing.B) {
			args := []string{strconv.Itoa(shape.flags)}
			for i := range shape.n {
				args = append(args, strconv.Itoa(shape.parent(i)))
			}
			image := imageOf(b, renest, floor, args...)
			contest(b, 5,
				contender{name: "renest", run: func() (time.Duration, error) { return timeRestore(renest, image) }},
				contender{name: "floor", run: timeCrowd(floor, args...)},
			)
		})
	}
}

// BenchmarkRestoreGrowth restores from a hundred to ten thousand namespaces: what
// one takes is to stay the same.
func BenchmarkRestoreGrowth(b *testing.B) {
	require.Root(b)
	renest, floor := build(b), compile(b, "crowd")
	for _, n := range []int{20, 200, 2000} {
		b.Run(fmt.Sprintf("namespaces=%d", 5*n), func(b *testing.B) {
			image := imageOf(b, renest, floor, strconv.Itoa(n))
			took := contest(b, 3,
				contender{name: "renest", run: func() (time.Duration, error) { return timeRestore(renest, image) }},
				contender{name: "floor", run: timeCrowd(floor, strconv.Itoa(n))},
			)
			b.ReportMetric(float64(took.Microseconds())/float64(5*n), "us/namespace")
		})
	}
}
