package bench

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/renest/renest/test/require"
)

// contender is one way to do a thing.
type contender struct {
	name string
	// budget is how many times this one's time the first contender may take; 0 for
	// no budget.
	budget float64
	// run does the thing once and returns how long it took.
	run func() (time.Duration, error)
}

// contest runs every contender once a round and reports medians and how the first
// contender's relates to the others': "0.2x lsns" is a fifth of lsns's time. So it
// does with the time of the processors, of which a busy machine takes nothing away:
// that of this process and of the children that it, or they, waited for. It returns
// the first one's median.
func contest(b *testing.B, rounds int, contenders ...contender) time.Duration {
	b.Helper()
	times, spent := make([][]time.Duration, len(contenders)), make([][]time.Duration, len(contenders))
	for b.Loop() {
		for range rounds {
			for i, c := range contenders {
				before := processors()
				took, err := c.run()
				if err != nil {
					b.Fatalf("%s: %v", c.name, err)
				}
				times[i] = append(times[i], took)
				spent[i] = append(spent[i], processors()-before)
			}
		}
	}
	b.ReportMetric(0, "ns/op") // of a round, which says nothing
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "\t%s\tmedian\tbest\t%s is\tbudget\tprocessors\tis\t\n", b.Name(), contenders[0].name)
	first, firstSpent := median(times[0]), median(spent[0])
	for i, c := range contenders {
		ratio := float64(first) / float64(median(times[i]))
		budget := ""
		if c.budget > 0 {
			budget = fmt.Sprintf("%.2f x", c.budget)
		}
		fmt.Fprintf(w, "\t%s\t%.1f ms\t%.1f ms\t%.2f x\t%s\t%.1f ms\t%.2f x\t\n", c.name,
			milliseconds(median(times[i])), milliseconds(slices.Min(times[i])), ratio, budget,
			milliseconds(median(spent[i])), float64(firstSpent)/float64(median(spent[i])))
		b.ReportMetric(milliseconds(median(times[i])), c.name+"-ms")
		if i > 0 {
			b.ReportMetric(ratio, "x-"+c.name)
		}
	}
	_ = w.Flush() // to memory
	b.Logf("\n%s", table.String())
	return first
}

// processors is the time that this process, and its children that have ended, took of
// the processors.
func processors() time.Duration {
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return sum
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }

func median[T cmp.Ordered](all []T) T {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

// timed times one run of a command, its start included: that is what a user waits
// for.
func timed(name string, args ...string) func() (time.Duration, error) {
	return func() (time.Duration, error) {
		var stderr strings.Builder
		cmd := exec.Command(name, args...)
		cmd.Stderr = &stderr
		start := time.Now()
		if err := cmd.Run(); err != nil {
			return 0, fmt.Errorf("%w: %s", err, stderr.String())
		}
		return time.Since(start), nil
	}
}

// compile compiles a C program of testdata and returns its path.
func compile(tb testing.TB, name string) string {
	tb.Helper()
	if program := prebuilt(name); program != "" {
		return program
	}
	require.Command(tb, "gcc", "gcc")
	program := filepath.Join(tb.TempDir(), name)
	out, err := exec.Command("gcc", "-O2", "-Wall", "-static", "-o", program, "testdata/"+name+".c").CombinedOutput()
	if err != nil {
		tb.Fatalf("%v: %s", err, out)
	}
	return program
}

// build builds renest and returns its path.
func build(tb testing.TB) string {
	tb.Helper()
	if program := prebuilt("renest"); program != "" {
		return program
	}
	program := filepath.Join(tb.TempDir(), "renest")
	cmd := exec.Command("go", "build", "-o", program, "github.com/renest/renest/cmd/renest")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("%v: %s", err, out)
	}
	return program
}
