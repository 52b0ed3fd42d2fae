package topology_test

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	. "github.com/renest/renest/topology"
	"github.com/renest/renest/topology/topologytest"
)

var sequence = regexp.MustCompile("\x1b\\[[0-9;]*m")

func draw(t *testing.T, g *Graph, o TreeOptions) string {
	t.Helper()
	var b strings.Builder
	if err := WriteTree(&b, g, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestWriteTreeWidth: no line is wider than asked for, and colours take no room.
func TestWriteTreeWidth(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 30))
		g := topologytest.Random(rng, topologytest.Options{Tasks: true, Dead: true, Unborn: true, Namespaces: 60})
		for _, width := range []int{1, 2, 20, 40, 80, 81, 120, 200} {
			o := TreeOptions{Width: width, Fold: int(seed%3) - 1, IDs: seed%2 == 0, Legend: true}
			bare := draw(t, g, o)
			for line := range strings.Lines(bare) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
					t.Errorf("seed %d: %d columns, not %d: %s", seed, n, width, line)
				}
				if strings.HasSuffix(line, " \n") {
					t.Errorf("seed %d, width %d: %q ends with a blank", seed, width, line)
				}
			}
			o.Color = true
			colored := draw(t, g, o)
			if diff := cmp.Diff(bare, sequence.ReplaceAllString(colored, "")); diff != "" {
				t.Fatalf("seed %d, width %d: colours change the text (-bare +coloured):\n%s", seed, width, diff)
			}
		}
	}
}

// TestWriteTreeDeep: as deep as the kernel nests, each namespace has its name on a
// terminal of eighty columns.
func TestWriteTreeDeep(t *testing.T) {
	g := newNest().g
	g.Tasks = nil
	up := g.Namespaces[0]
	for i := range MaxUserLevel {
		up = &Namespace{Type: User, Ino: uint64(4026532000 + 2*i), Owner: up, Parent: up, User: &UserState{UIDMap: []Extent{{0, 0, 1}}}}
		g.Namespaces = append(g.Namespaces, up)
		if i%2 == 0 {
			g.Namespaces = append(g.Namespaces, &Namespace{Type: UTS, Ino: uint64(4026532001 + 2*i), Owner: up})
		}
		text := draw(t, g, TreeOptions{Width: 80})
		for _, n := range g.Namespaces {
			if !n.External && !strings.Contains(text, n.Name()) {
				t.Fatalf("%d levels: no %s in\n%s", i+1, n.Name(), text)
			}
		}
	}
}

// TestWriteTreeNarrow: what does not fit is counted, or cut off with a mark.
func TestWriteTreeNarrow(t *testing.T) {
	x := newNest()
	x.uts.UTS.NodeName = "名前名前名前"
	x.g.Tasks = nil
	for i := range 5 {
		task := &Task{PID: 200 + i, TID: 200 + i, NSPID: []int{200 + i, 1 + i}, Comm: "work"}
		task.Namespaces[InPID], task.Namespaces[InUser] = x.pidA, x.a
		x.g.Tasks = append(x.g.Tasks, task)
	}
	x.g.Namespaces = []*Namespace{x.host, x.hostPID, x.a, x.pidA, x.uts}
	want := []string{
		`user:[4026531837] external
├─ external pid
└─ user:[10] 0→100000+1000 +1 more
   ├─ uts:[30] "名前名前名前" no task
   └─ pid:[20] work 200 (1), +4 more
`,
		`user:[4026531837] external
├─ external pid
└─ user:[10] 0→100000+1000 1000→200000+1000
   ├─ uts:[30] "名前名前名前" no task
   └─ pid:[20] work 200 (1), work 201 (2), +3 more
`,
		`user:[4026531837] exter…
├─ external pid
└─ user:[10] 0→100000+1…
   ├─ uts:[30] … no task
   └─ pid:[20] work 200…
`,
	}
	for i, width := range []int{39, 50, 24} {
		if diff := cmp.Diff(want[i], draw(t, x.g, TreeOptions{Width: width})); diff != "" {
			t.Errorf("width %d (-want +got):\n%s", width, diff)
		}
	}
}

// TestWriteTreeLegend: the legend explains the marks that are drawn, and no other.
func TestWriteTreeLegend(t *testing.T) {
	entries := func(g *Graph, o TreeOptions) []string {
		o.Width, o.Legend = -1, true
		_, legend, _ := strings.Cut(draw(t, g, o), "\n\n")
		var out []string
		for line := range strings.Lines(legend) {
			mark, _, _ := strings.Cut(line, "  ")
			out = append(out, mark)
		}
		return out
	}
	blind := newNest()
	blind.net.Owner, blind.g.Tasks = nil, nil
	inside := newNest() // of a container, whose own namespaces are not the initial ones
	inside.host.Ino, inside.hostPID.Ino = 5, 6
	for _, tt := range []struct {
		name string
		g    *Graph
		o    TreeOptions
		want []string
	}{
		{"in a container", inside.g, TreeOptions{}, []string{"external", "no task", "out of sight"}},
		{"pid namespaces in a container", inside.g, TreeOptions{By: ByParent}, []string{"external", "no task", "out of sight"}},
		{"empty", &Graph{}, TreeOptions{}, nil},
		{"all states", big().g, TreeOptions{}, []string{"external", "no task", "hidden", "dead", "unborn"}},
		{"of pid namespaces", big().g, TreeOptions{By: ByParent}, []string{"external", "dead", "unborn"}},
		{"an owner out of sight", blind.g, TreeOptions{}, []string{"external", "out of sight"}},
		{"folded", containers(50), TreeOptions{}, []string{"external", "… more like this"}},
		{"not folded", containers(50), TreeOptions{Fold: -1}, []string{"external"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, entries(tt.g, tt.o)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
