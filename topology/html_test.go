package topology_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/renest/renest/test/browser"
	. "github.com/renest/renest/topology"
	"github.com/renest/renest/topology/topologytest"
)

// drive is put at the end of the page: it does what a reader does, and says what
// came of it and how long each click took, layout included.
const drive = `<pre id="` + browser.Result + `">` + browser.Running + `</pre><script>
(() => {
	const out = {times: {}}, timed = (what, f) => {
		const start = performance.now();
		f();
		document.body.offsetHeight;
		out.times[what] = performance.now() - start;
	};
	const tree = $("tree"), key = k => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key: k, bubbles: true, cancelable: true}));
	const type = text => { $("search").value = text; $("search").dispatchEvent(new Event("input")); };
	try {
		out.title = document.title;
		out.rows = tree.querySelectorAll("li").length;
		timed("open the first", () => tree.querySelector("li[data-ns] .row").click());
		timed("draw anew", () => draw());
		tree.querySelector("li").focus();
		key("Home"); out.home = document.activeElement.dataset.ns;
		key("ArrowDown"); out.down = document.activeElement.dataset.ns;
		key("ArrowLeft"); out.left = document.activeElement.dataset.ns;
		key("ArrowLeft"); out.shut = document.activeElement.getAttribute("aria-expanded");
		key("ArrowRight"); out.open = document.activeElement.getAttribute("aria-expanded");
		key("/"); out.slash = document.activeElement.id;
		timed("search", () => type("needle"));
		out.found = $("found").textContent;
		$("search").focus(); key("Enter");
		timed("go to what was found", () => key("Enter"));
		out.about = $("about").textContent;
		out.selected = tree.querySelector("[aria-selected=true] .name").textContent;
		out.searchCleared = $("search").value === "";
		timed("search for what all have", () => type(":["));
		out.all = $("found").textContent;
		timed("clear", () => type(""));
		timed("by parent", () => { $("by").value = "parent"; $("by").dispatchEvent(new Event("change")); });
		out.byParent = [...tree.querySelectorAll("li[data-ns]")].every(li => all[li.dataset.ns].type === "pid");
		timed("show a user namespace", () => show(all.findLastIndex(n => n.type === "user")));
		out.back = $("by").value;
		out.dark = getComputedStyle(document.body).backgroundColor;
	} catch (e) {
		out.error = String(e.stack || e);
	}
	document.getElementById("` + browser.Result + `").textContent = JSON.stringify(out);
})();
</script>`

type driven struct {
	Times             map[string]float64
	Title             string
	Rows              int
	Home, Down, Left  string
	Shut, Open, Slash string
	Found, All        string
	About, Selected   string
	SearchCleared     bool
	ByParent          bool
	Back, Error, Dark string
}

func drivePage(t *testing.T, g *Graph) driven {
	t.Helper()
	var page bytes.Buffer
	if err := WriteHTML(&page, g, TreeOptions{}); err != nil {
		t.Fatal(err)
	}
	html := strings.Replace(page.String(), "</body>", drive+"</body>", 1)
	var got driven
	text := browser.Open(t, []byte(html))
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if got.Error != "" {
		t.Fatalf("the page failed: %s", got.Error)
	}
	return got
}

// TestHTML: in a real browser the page opens and closes, finds and shows, by
// mouse and by keyboard.
func TestHTML(t *testing.T) {
	x := big()
	x.uts.UTS.NodeName = "a needle"
	x.uts.Pins = []Pin{{Kind: PinBind, Path: "/run/netns/<b>x", Mnt: x.mnt}, {Kind: PinFD, PID: 200, TID: 200, FD: 3}}
	x.g.Header.Hostname = "</script><script>alert(1)</script>"
	got := drivePage(t, x.g)
	got.Times = nil
	want := driven{
		Title: "Namespaces of </script><script>alert(1)</script>", Rows: 21,
		Home: "0", Down: "1", Left: "0", Shut: "false", Open: "true", Slash: "search",
		Found: "1 of 21", All: "21 of 21", Selected: x.uts.Name(), SearchCleared: true, ByParent: true, Back: "owner",
		About: x.uts.Name() + `no task is in it: see what keeps it"a needle" "example.org"owned by ` + x.a.Name() +
			"Kept alive by" + "bind mount /run/netns/<b>x in " + x.mnt.Name() + "descriptor 3 of work 200",
		Dark: got.Dark,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestHTMLLarge: with five thousand namespaces, deep or flat, it still answers.
func TestHTMLLarge(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 50))
	for name, g := range map[string]*Graph{
		"deep": topologytest.Random(rng, topologytest.Options{Namespaces: 5000, Depth: 20, Tasks: true}),
		"flat": containers(1000),
	} {
		t.Run(name, func(t *testing.T) {
			for _, n := range g.Namespaces {
				if n.UTS != nil {
					n.UTS.NodeName = "needle"
				}
			}
			got := drivePage(t, g)
			for what, ms := range got.Times {
				t.Logf("%s: %.1f ms", what, ms)
			}
			if got.Rows > 3000 {
				t.Errorf("%d rows at once", got.Rows)
			}
		})
	}
}

// TestHTMLAlone: the page loads nothing.
func TestHTMLAlone(t *testing.T) {
	var b strings.Builder
	if err := WriteHTML(&b, big().g, TreeOptions{By: ByParent}); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"http:", "https:", " src=", "<link", "@import", "url("} {
		if strings.Contains(b.String(), s) {
			t.Errorf("the page has %q", s)
		}
	}
	if !strings.Contains(b.String(), `"by":"parent"`) {
		t.Error("it does not begin by parent")
	}
}
