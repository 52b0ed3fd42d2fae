package topology_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/renest/renest/test/browser"
	"github.com/renest/renest/test/require"
	. "github.com/renest/renest/topology"
	"github.com/renest/renest/topology/topologytest"
)

// mermaidPage draws each of some charts and says what the labels of its nodes
// are, row by row, and how many arrows there are.
var mermaidPage = template.Must(template.New("").Parse(`<!doctype html><meta charset="utf-8"><div id="out"></div>
<pre id="{{.Result}}">{{.Running}}</pre>
<script src="file://{{.Mermaid}}"></script>
<script>
mermaid.initialize({startOnLoad: false});
(async () => {
	const drawn = [];
	for (const [i, source] of {{.Sources}}.entries()) {
		try {
			const {svg} = await mermaid.render("chart" + i, source);
			const out = document.getElementById("out");
			out.innerHTML = svg;
			const number = node => Number(/-n(\d+)-/.exec(node.id)[1]);
			const nodes = [...out.querySelectorAll(".node")].sort((a, b) => number(a) - number(b));
			const rows = node => [...(node.querySelector("p") || node.querySelector(".nodeLabel") || node).childNodes].filter(n => n.nodeName != "BR").map(n => n.textContent);
			drawn.push({rows: nodes.map(rows), arrows: out.querySelectorAll(".flowchart-link").length});
		} catch (e) {
			drawn.push({error: String(e)});
		}
	}
	document.getElementById({{.Result}}).textContent = JSON.stringify(drawn);
})();
</script>`))

// TestMermaid: the real Mermaid draws what WriteMermaid writes, all of it, and the
// labels are what they were meant to be.
func TestMermaid(t *testing.T) {
	mermaid := os.Getenv("RENEST_MERMAID")
	if mermaid == "" {
		require.That(t, "mermaid", errors.New("RENEST_MERMAID does not say where mermaid.min.js is (npm pack mermaid has it)"))
	}
	type drawing struct {
		Rows   [][]string
		Arrows int
		Error  string
	}
	graphs := []*Graph{hostileGraph(), {}, big().g, containers(300)}
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 32))
		graphs = append(graphs, topologytest.Random(rng, topologytest.Options{Tasks: true, Dead: true}))
	}
	var sources []string
	var want []drawing
	for i, g := range graphs {
		for _, by := range []TreeEdge{ByOwner, ByParent} {
			o := TreeOptions{By: by}
			if i == 0 {
				o.Fold = -1 // each of the names
			}
			var b strings.Builder
			if err := WriteMermaid(&b, g, o); err != nil {
				t.Fatal(err)
			}
			rows, err := DrawingRows(g, o)
			if err != nil {
				t.Fatal(err)
			}
			sources = append(sources, b.String())
			want = append(want, drawing{Rows: rows, Arrows: strings.Count(b.String(), "-->\x20") + strings.Count(b.String(), " -.-")})
		}
	}
	var page bytes.Buffer
	if err := mermaidPage.Execute(&page, map[string]any{
		"Result": browser.Result, "Running": browser.Running, "Mermaid": mermaid, "Sources": sources,
	}); err != nil {
		t.Fatal(err)
	}
	var got []drawing
	if err := json.Unmarshal([]byte(strings.ReplaceAll(browser.Open(t, page.Bytes()), "\u2060", "")), &got); err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if diff := cmp.Diff(want[i], got[i], cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("chart %d (-want +got):\n%s\n%s", i, diff, fmt.Sprintf("%.3000s", sources[i]))
		}
	}
}
