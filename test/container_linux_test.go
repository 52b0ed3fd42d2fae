package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/renest/renest/test/require"
)

// TestContainer dumps a container in which further containers nest, destroys it,
// restores its namespaces, and has others than renest say that they are back.
func TestContainer(t *testing.T) {
	require.Root(t)
	for _, runtime := range []string{"runc", "crun"} {
		t.Run(runtime, func(t *testing.T) {
			require.Command(t, runtime, runtime)
			require.Command(t, "lsns", "util-linux")
			require.Command(t, "nsenter", "util-linux")
			testContainer(t, runtime)
		})
	}
}

func testContainer(t *testing.T, runtime string) {
	dir := t.TempDir()
	image := filepath.Join(dir, "nstree.img")
	c := startContainer(t, runtime, deepSpec())
	before := look(t, tree(t, c.pid))
	renest(t, 0, "dump", "-t", strconv.Itoa(c.pid), "-D", dir)
	renest(t, 0, "show", image)
	c.destroy(t)

	name := uniqueName(runtime)
	r := restoreImage(t, name, "-D", dir)
	if !r.Verified {
		t.Error("restore did not verify")
	}
	if !standing(t, name) {
		t.Errorf("ps does not list %s", name)
	}
	compareRestored(t, before, r)
	renest(t, 0, "diff", image, "live:"+name)

	renest(t, 0, "rm", name)
	if standing(t, name) {
		t.Errorf("ps lists %s after rm", name)
	}
	waitGone(t, r)
}

// sight is what others than renest see of a tree.
type sight struct {
	shape shape             // by the ioctls
	hosts map[string]string // host name by UTS namespace, by nsenter
	lsns  map[string]lsnsLine
}

// look looks at the tree of the tasks pids.
func look(t *testing.T, pids []int) sight {
	t.Helper()
	s := sight{shape: taskShape(t, pids), hosts: map[string]string{}, lsns: lsns(t)}
	for _, pid := range pids {
		path := fmt.Sprintf("/proc/%d/ns/uts", pid)
		name, err := os.Readlink(path)
		if err != nil {
			t.Fatal(err)
		}
		s.hosts[name] = nsenterHostname(t, path)
	}
	return s
}

// compareRestored asks of everything that was seen before whether it is there
// again, under the names that restore gave.
func compareRestored(t *testing.T, before sight, r restored) {
	t.Helper()
	live := map[string]string{}
	after := sight{shape: shape{}, hosts: map[string]string{}}
	for _, n := range r.Namespaces {
		got, err := after.shape.add(n.Path)
		if err != nil {
			t.Fatalf("%s: %v", n.Image, err)
		}
		if got != n.Live {
			t.Errorf("%s: %s leads to %s, not to %s", n.Image, n.Path, got, n.Live)
		}
		live[n.Image] = n.Live
		if _, ok := before.hosts[n.Image]; ok {
			after.hosts[n.Live] = nsenterHostname(t, n.Path)
		}
	}
	// What is the host's is external, and there as before.
	for name := range taskShape(t, []int{os.Getpid()}) {
		delete(before.shape, name)
		delete(after.shape, name)
	}
	if diff := cmp.Diff(before.shape.translate(live), after.shape); diff != "" {
		t.Errorf("owners and parents, by ioctl (-want +got):\n%s", diff)
	}
	hosts := map[string]string{}
	for name, host := range before.hosts {
		hosts[translate(live, name)] = host
	}
	if diff := cmp.Diff(hosts, after.hosts); diff != "" {
		t.Errorf("host names, by nsenter (-want +got):\n%s", diff)
	}
	compareLsns(t, before.lsns, lsns(t), r, live)
}

// compareLsns compares what lsns says of the namespaces that were restored. Before
// 2.43 it does not look at descriptors, so that it sees none of those that only a
// descriptor keeps.
func compareLsns(t *testing.T, before, after map[string]lsnsLine, r restored, live map[string]string) {
	t.Helper()
	for _, n := range r.Namespaces {
		line, ok := before[n.Image]
		if !ok {
			continue
		}
		want := lsnsLine{translate(live, line.Owner), translate(live, line.Parent)}
		got, ok := after[n.Live]
		if !ok && strings.Contains(n.Path, "/fd/") {
			t.Logf("%s, now %s, is kept by a descriptor: lsns does not see it", n.Image, n.Live)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s, now %s, by lsns (-want +got):\n%s", n.Image, n.Live, diff)
		}
	}
}

// translate gives the name that a namespace has now; one that was not restored,
// such as the host's, has kept its own.
func translate(live map[string]string, name string) string {
	if now, ok := live[name]; ok {
		return now
	}
	return name
}

func (s shape) translate(live map[string]string) shape {
	now := shape{}
	for name, n := range s {
		now[translate(live, name)] = seen{n.Kind, translate(live, n.Owner), translate(live, n.Parent)}
	}
	return now
}

// lsnsLine is what lsns says of one namespace, "" for nothing.
type lsnsLine struct{ Owner, Parent string }

func lsns(t *testing.T) map[string]lsnsLine {
	t.Helper()
	var lines struct{ Namespaces []lsnsJSON }
	runLsns(t, "lsns", &lines, "-n", "-T=owner", "-o", "NS,TYPE,PNS,ONS")
	all := map[string]lsnsLine{}
	for _, l := range lines.Namespaces {
		l.flatten(all)
	}
	return all
}

// lsnsJSON is a node of what lsns -J prints as a tree.
type lsnsJSON struct {
	NS       uint64
	Type     string
	PNS, ONS uint64
	Children []lsnsJSON
}

func (l lsnsJSON) flatten(all map[string]lsnsLine) {
	name := func(kind string, ino uint64) string {
		if ino == 0 {
			return ""
		}
		return fmt.Sprintf("%s:[%d]", kind, ino)
	}
	all[name(l.Type, l.NS)] = lsnsLine{name("user", l.ONS), name(l.Type, l.PNS)}
	for _, child := range l.Children {
		child.flatten(all)
	}
}

// nsenterHostname asks for the host name in the UTS namespace that path leads to.
func nsenterHostname(t *testing.T, path string) string {
	t.Helper()
	out, err := exec.Command("nsenter", "--uts="+path, "uname", "-n").CombinedOutput()
	if err != nil {
		t.Fatalf("nsenter --uts=%s: %v: %s", path, err, out)
	}
	return strings.TrimSpace(string(out))
}

// waitGone waits until nothing of a restored tree is left: its paths lead nowhere,
// or to something else.
func waitGone(t *testing.T, r restored) {
	t.Helper()
	own := taskShape(t, []int{os.Getpid()})
	for _, n := range r.Namespaces {
		if _, external := own[n.Live]; external {
			continue
		}
		waitFor(t, fmt.Sprintf("%s, which was %s, is gone", n.Path, n.Image), func() bool {
			name, err := os.Readlink(n.Path)
			return err != nil || name != n.Live
		})
	}
}
