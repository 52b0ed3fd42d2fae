package test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/renest/renest/test/seed"
)

// What check predicts of random trees is what CRIU does.
func TestCheckRandom(t *testing.T) {
	trees := 100
	if testing.Short() {
		trees = 6
	}
	root := shapeRoot(t)
	rng := rand.New(rand.NewPCG(seed.Of(t), 0))
	agreed := map[string]int{}
	made := 0
	for i := range trees {
		tokens := randomShape(rng)
		d := newCRIUDir(t, root)
		s := startShape(t, strings.ReplaceAll(tokens, "PIVOT", "pivot="+root+" sid"))
		t.Cleanup(func() {
			if t.Failed() && i == made {
				t.Logf("tree %d, shape %s", i, tokens)
			}
		})
		made = i
		predicted := renestCheck(t, s.root)
		got, why := outcome(t, d, s.root, predicted)
		if got == predicted.Verdict {
			agreed[got]++
		} else {
			t.Errorf("tree %d, shape %s\nCRIU %s, check says %s:\n%s\n%s", i, tokens, got, predicted.Verdict, why, predicted.text)
		}
		s.stop()
	}
	sum := 0
	for _, verdict := range slices.Sorted(maps.Keys(agreed)) {
		t.Logf("%3d %s", agreed[verdict], verdict)
		sum += agreed[verdict]
	}
	t.Logf("check and CRIU agree about %d of %d trees", sum, trees)
}

// randomShape returns the tokens of a tree, of which about half have something
// that CRIU does not like.
func randomShape(rng *rand.Rand) string {
	var w words
	chance := func(percent int, what ...string) {
		if rng.IntN(100) < percent {
			w = append(w, what...)
		}
	}
	if rng.IntN(2) == 0 {
		for _, kind := range []string{"net", "uts", "ipc", "cgroup"} {
			chance(30, kind)
		}
		w = append(w, "(", "sid", "name=root")
		w.body(rng, 0)
		if rng.IntN(6) == 0 { // too late for what is there
			w = append(w, []string{"net", "uts", "ipc", "cgroup"}[rng.IntN(4)])
		}
		return strings.Join(append(w, ")", "leave"), " ")
	}
	chance(10, "net")
	chance(80, "user=0:100000:65536")
	w = append(w, "mnt", "pid")
	deep := rng.IntN(6) == 0
	if deep {
		w = append(w, "(", "user=0:0:1000", "mnt", "pid")
	}
	for _, kind := range []string{"net", "uts", "ipc", "cgroup"} {
		chance(60, kind)
	}
	w = append(w, "reap", "(", "name=root", "PIVOT")
	w.body(rng, 0)
	w = append(w, ")")
	if deep {
		w = append(w, ")")
	} else {
		chance(50, "leave")
	}
	return strings.Join(w, " ")
}

type words []string

// body adds what one process does, with its children.
func (w *words) body(rng *rand.Rand, depth int) {
	for range rng.IntN(4) {
		switch rng.IntN(9) {
		case 0, 1, 2, 3:
			if depth < 3 {
				*w = append(*w, "(")
				w.body(rng, depth+1)
				*w = append(*w, ")")
			}
		case 4, 5:
			*w = append(*w, "(", []string{"net", "mnt"}[rng.IntN(2)], ")")
		case 6:
			*w = append(*w, "own="+nsKinds()[rng.IntN(8)])
		default:
			if rng.IntN(3) == 0 && w.fault(rng) {
				return
			}
		}
	}
}

// fault adds something that CRIU does not like. It tells whether it is the last
// thing that its process can do: the kernel makes no thread for one whose children
// go into another pid or time namespace (copy_process says EINVAL), and no process
// in a pid namespace whose first one has ended (ENOMEM).
func (w *words) fault(rng *rand.Rand) (last bool) {
	faults := []string{
		"( uts )", "( ipc ( ) )", "( cgroup )", "( user=0:100:100 )", "( user=0:100:100 net ( ) )",
		"thread=uts", "thread=ipc", "thread=net", "thread=cgroup",
		"( net ) hold=net kill", "( uts ) hold=uts kill", "( user=0:100:100 ) hold=user kill",
		"( ) zombie", "( user=0:100:100 ) zombie",
		"( user=0:100:100 net ) ( join=net ) drop",
		"pid", "time", "pid ( )", "time ( )",
	}
	fault := strings.Fields(faults[rng.IntN(len(faults))])
	*w = append(*w, fault...)
	return fault[0] == "pid" || fault[0] == "time"
}
