package topology_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/renest/renest/test/require"
	. "github.com/renest/renest/topology"
	"github.com/renest/renest/topology/topologytest"
)

// hostile are names that a language of pictures might take for its own.
var hostile = []string{
	`"];x`, `\N\l\G`, `&lt;&amp;`, `<b>bold`, `%%{init: 1}%%`, "end", "`code`", "1. one", "- list", "+ list",
	"# head", "#35;", "**a**", "_b_", "~c~", "$$x$$", "\x1b[2J", "a\nb", "a|b", "{c}", "n0 --> n1", "名前", "]", "style n1",
	"--> x", "@{x}", "click n0", "/x/", `\x\`, "subgraph", "%% no", ":::user", "&#65;", "a;b",
}

// hostileGraph has a task for each of the hostile names, and host names of them.
func hostileGraph() *Graph {
	x := newNest()
	x.g.Tasks = nil
	for i, name := range hostile {
		uts := &Namespace{Type: UTS, Ino: uint64(1000 + i), Owner: x.a, UTS: &UTSState{NodeName: name}}
		cgroup := &Namespace{Type: Cgroup, Ino: uint64(2000 + i), Owner: x.a, Cgroup: &CgroupState{Root: name}}
		x.g.Namespaces = append(x.g.Namespaces, uts, cgroup)
		task := &Task{PID: 500 + i, TID: 500 + i, Comm: name}
		task.Namespaces[InUTS] = uts
		x.g.Tasks = append(x.g.Tasks, task)
	}
	return x.g
}

func TestWriteDOT(t *testing.T) {
	x := newNest()
	x.uts.UTS.NodeName = `a "b" \c &d`
	want := `digraph namespaces {
  graph [rankdir=LR, nodesep=0.12, ranksep=0.5];
  node [shape=box, style="rounded,filled", fontname="monospace", fontsize=10, height=0.3, margin="0.1,0.05"];
  edge [arrowsize=0.6, color="#555555"];
  n0 [fillcolor="#eeeeee", label="user:[4026531837] external\l"];
  n1 [style=rounded, color="#999999", fontcolor="#555555", label="external pid\l"];
  n2 [fillcolor="#ffe9a8", label="user:[10]\l0→100000+1000 1000→200000+1000\l"];
  n3 [fillcolor="#d5f2d0", label="uts:[30]\l\"a \\\"b\\\" \\\\c &amp;d\"\lno task\l"];
  n4 [fillcolor="#cdeff0", label="pid:[20]\linit 100 (1)\l"];
  n5 [fillcolor="#ffe9a8", label="user:[12]\l0→500+100\lno task\l"];
  n6 [fillcolor="#cdeff0", label="pid:[21]\lno task\l"];
  n0 -> n1 [style=dotted, arrowhead=none];
  n0 -> n2;
  n2 -> n3;
  n2 -> n4;
  n2 -> n5;
  n5 -> n6;
  n4 -> n6 [style=dashed, constraint=false];
}
`
	x.g.Namespaces = []*Namespace{x.host, x.hostPID, x.a, x.c, x.pidA, x.pidC, x.uts}
	var b strings.Builder
	if err := WriteDOT(&b, x.g, TreeOptions{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWriteMermaid(t *testing.T) {
	x := newNest()
	x.uts.UTS.NodeName = `a "b" \c &d`
	want := `flowchart LR
  n0["pid:[4026531836] external"]:::ns-external
  n1["pid:[20]<br/>of user:[10]<br/>init 100 (1)"]:::ns-pid
  n2["pid:[21] dead<br/>of user:[12]"]:::ns-dead
  n0 --> n1
  n1 --> n2
  classDef ns-dead fill:#ffc9c4,stroke:#777,color:#000,text-align:left
  classDef ns-external fill:#eeeeee,stroke:#777,color:#000,text-align:left
  classDef ns-pid fill:#cdeff0,stroke:#777,color:#000,text-align:left
`
	x.pidC.State = Dead
	var b strings.Builder
	if err := WriteMermaid(&b, x.g, TreeOptions{By: ByParent}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestGraphviz: dot draws what WriteDOT writes without a word of complaint, all
// of it, and the labels are what they were meant to be.
func TestGraphviz(t *testing.T) {
	dot := require.Command(t, "dot", "graphviz")
	graphs := map[string]*Graph{"hostile": hostileGraph(), "empty": {}, "big": big().g, "folded": containers(300)}
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 31))
		graphs[fmt.Sprintf("random %d", seed)] = topologytest.Random(rng, topologytest.Options{Tasks: true, Dead: true})
	}
	for name, g := range graphs {
		for _, by := range []TreeEdge{ByOwner, ByParent} {
			t.Run(fmt.Sprintf("%s/%d", name, by), func(t *testing.T) {
				o := TreeOptions{By: by, IDs: true}
				if name == "hostile" {
					o.Fold = -1 // each of the names
				}
				var source, svg, complaint bytes.Buffer
				if err := WriteDOT(&source, g, o); err != nil {
					t.Fatal(err)
				}
				arrows := strings.Count(source.String(), " -> ")
				cmd := exec.CommandContext(t.Context(), dot, "-Tsvg")
				cmd.Stdin, cmd.Stdout, cmd.Stderr = &source, &svg, &complaint
				if err := cmd.Run(); err != nil || complaint.Len() > 0 {
					t.Fatalf("dot: %v\n%s", err, complaint.String())
				}
				rows, err := DrawingRows(g, o)
				if err != nil {
					t.Fatal(err)
				}
				gotRows, gotArrows := readSVG(t, &svg)
				if diff := cmp.Diff(rows, gotRows); diff != "" {
					t.Errorf("labels (-want +got):\n%s", diff)
				}
				if gotArrows != arrows {
					t.Errorf("%d arrows drawn, not %d", gotArrows, arrows)
				}
			})
		}
	}
}

// readSVG returns the labels that dot drew, and how many arrows.
func readSVG(t *testing.T, r io.Reader) (rows [][]string, arrows int) {
	t.Helper()
	type group struct {
		Class string   `xml:"class,attr"`
		Title string   `xml:"title"`
		Text  []string `xml:"text"`
	}
	var doc struct {
		Groups []group `xml:"g>g"`
	}
	d := xml.NewDecoder(r)
	d.Entity = xml.HTMLEntity
	if err := d.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	labels := make(map[string][]string)
	for _, g := range doc.Groups {
		if g.Class == "edge" {
			arrows++
		}
		if g.Class == "node" {
			labels[g.Title] = g.Text
		}
	}
	for i := range len(labels) { // dot draws them in an order of its own
		rows = append(rows, labels[fmt.Sprintf("n%d", i)])
	}
	return rows, arrows
}
