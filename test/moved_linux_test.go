package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/renest/renest/images"
	"github.com/renest/renest/test/require"
	"github.com/renest/renest/test/vm"
	"github.com/renest/renest/topology"
)

// TestMoved moves a nest from host to host, each with another kernel and other
// clocks, and back: what arrives is dumped there, and that is what goes on. It has
// all of its settings at the end, and its clocks have gone on at every arrival from
// where they were.
func TestMoved(t *testing.T) {
	require.Root(t)
	busybox := require.Busybox(t)
	lsns := require.Command(t, "lsns", "util-linux")
	tools := append(vm.Busybox(busybox), carryPrograms(t)...)
	tools = append(tools, carryDynamic(t, lsns)...)
	stable, newest := movedKernel(t, vm.Stable), movedKernel(t, vm.Backports)

	first := runInVM(t, newest, vm.Job{
		Files: tools, Commands: []vm.Command{shell(dumpScript(deepSpec()))}, Collect: []string{"/tmp/nest.img"},
	}).Files["/tmp/nest.img"]
	image := first
	for _, k := range []*vm.Kernel{&stable, nil, &newest} {
		where := "this host"
		var stop *stop
		if k == nil {
			stop = moveHere(t, image, lsns)
		} else {
			where = string(k.Suite)
			job := vm.Job{
				Files:    append([]vm.File{{Path: "/images/nest.img", Data: image, Mode: 0o644}}, tools...),
				Commands: []vm.Command{shell(moveScript(guestPrograms, lsns, "/images/nest.img", "/tmp/next.img", "moved"))},
				Collect:  []string{"/tmp/next.img"},
			}
			result := runInVM(t, *k, job)
			stop = parseStop(t, result.Commands[0].Stdout, result.Files["/tmp/next.img"])
		}
		t.Run(where, func(t *testing.T) { stop.check(t, image) })
		image = stop.image
	}
	a, b := decoded(t, first), decoded(t, image)
	if _, err := topology.Isomorphic(a, b, topology.CompareOptions{IgnoreOffsets: true}); err != nil {
		t.Errorf("what came back is not what left: %v", err)
	}
}

func movedKernel(t *testing.T, s vm.Suite) vm.Kernel {
	t.Helper()
	k, err := vm.Find(s)
	require.That(t, "vm", err)
	return k
}

// carryDynamic lists a program of this host and the libraries that it needs.
func carryDynamic(t *testing.T, program string) []vm.File {
	t.Helper()
	out, err := exec.Command("ldd", program).Output()
	if err != nil {
		t.Fatal(err)
	}
	files := []vm.File{{Path: program, Host: program}}
	for _, lib := range regexp.MustCompile(`(?m)(/\S+) \(0x`).FindAllStringSubmatch(string(out), -1) {
		host, err := filepath.EvalSymlinks(lib[1])
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, vm.File{Path: lib[1], Host: host})
	}
	return files
}

// moveScript restores an image, dumps what it has become, and says how long the host
// had been up before and after, in seconds.
func moveScript(programs, lsns, from, to, name string) string {
	return fmt.Sprintf(`
echo "before $(cut -d' ' -f1 /proc/uptime)"
%[1]s/renest restore -d --json --name %[5]s %[3]s >%[4]s.json
echo "after $(cut -d' ' -f1 /proc/uptime)"
%[1]s/renest diff %[3]s live:%[5]s
%[1]s/renest dump -t $(sed -n 's/^ *"pid": \([0-9]*\).*/\1/p' %[4]s.json | head -n 1) -o %[4]s
tries=0 # lsns gives up where a namespace vanishes while it looks
until %[2]s -n -r -o NS,TYPE >%[4]s.lsns || [ $tries = 100 ]; do tries=$((tries + 1)); done
echo "lsns $(tr ' \n' ':,' <%[4]s.lsns)"
echo "restored $(tr -d '\n' <%[4]s.json)"
%[1]s/renest rm %[5]s
`, programs, lsns, from, to, name)
}

func moveHere(t *testing.T, image []byte, lsns string) *stop {
	t.Helper()
	dir := t.TempDir()
	from, to := filepath.Join(dir, "nest.img"), filepath.Join(dir, "next.img")
	if err := os.WriteFile(from, image, 0o644); err != nil {
		t.Fatal(err)
	}
	script := moveScript(filepath.Dir(program(t, "renest")), lsns, from, to, uniqueName("moved"))
	var stderr bytes.Buffer
	cmd := exec.Command("/bin/sh", "-ec", script)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, stderr.String())
	}
	next, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	return parseStop(t, string(out), next)
}

// stop is a host on the way of a nest.
type stop struct {
	before, after topology.Offset // the host's clock (CLOCK_BOOTTIME), around the restore
	lsns          map[string]bool // "4026532180:user"
	bindings      []struct{ Live, Path string }
	image         []byte // what was dumped there
}

func parseStop(t *testing.T, out string, image []byte) *stop {
	t.Helper()
	s := &stop{image: image, lsns: map[string]bool{}}
	for line := range strings.Lines(out) {
		what, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch what {
		case "before":
			s.before = uptime(t, rest)
		case "after":
			s.after = uptime(t, rest)
		case "lsns":
			for x := range strings.SplitSeq(rest, ",") {
				s.lsns[x] = true
			}
		case "restored":
			var r struct {
				Namespaces []struct{ Live, Path string }
			}
			if err := json.Unmarshal([]byte(rest), &r); err != nil {
				t.Fatal(err)
			}
			s.bindings = r.Namespaces
		}
	}
	return s
}

// uptime reads what /proc/uptime has, in hundredths of a second.
func uptime(t *testing.T, text string) topology.Offset {
	t.Helper()
	sec, hundredths, _ := strings.Cut(text, ".")
	x, err1 := strconv.ParseInt(sec, 10, 64)
	y, err2 := strconv.ParseUint(hundredths, 10, 8)
	if err1 != nil || err2 != nil {
		t.Fatalf("uptime %q", text)
	}
	return topology.Offset{Sec: x, Nsec: uint32(y) * 10_000_000}
}

func decoded(t *testing.T, image []byte) *topology.Graph {
	t.Helper()
	g, err := images.Decode(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// check holds what arrived against the image of it that came.
func (s *stop) check(t *testing.T, came []byte) {
	then, now := decoded(t, came), decoded(t, s.image)
	if _, err := topology.Isomorphic(then, now, topology.CompareOptions{IgnoreOffsets: true}); err != nil {
		t.Errorf("not isomorphic: %v", err)
	}
	// lsns lists what a task is in.
	listed := 0
	for _, b := range s.bindings {
		if typ, ino, err := topology.ParseName(b.Live); err == nil && strings.Contains(b.Path, "/ns/") {
			listed++
			if !s.lsns[fmt.Sprintf("%d:%s", ino, typ)] {
				t.Errorf("lsns does not list %s", b.Live)
			}
		}
	}
	if listed < 10 {
		t.Errorf("only %d namespaces have a task", listed)
	}
	// What the clocks show is what they showed, at a time within the restore. Those
	// with an hour or more apart cannot be mistaken for one another.
	var showed, shows []topology.Offset
	for _, x := range []struct {
		g  *topology.Graph
		to *[]topology.Offset
	}{{then, &showed}, {now, &shows}} {
		for _, n := range x.g.Namespaces {
			if n.Type == topology.Time && !n.External {
				*x.to = append(*x.to, n.Time.Boottime)
			}
		}
	}
	for _, offset := range showed {
		was := then.Header.Clocks.Boottime.Add(offset)
		found := false
		for _, here := range shows {
			at := was.Sub(here) // when this host's clock made it show the same
			hundredth := topology.Offset{Nsec: 10_000_000}
			if at.Sub(s.before).Sec >= 0 && s.after.Add(hundredth).Sub(at).Sec >= 0 {
				found = true
				t.Logf("a clock that showed %v s went on %v s after the restore began, which took %v s",
					was, at.Sub(s.before), s.after.Sub(s.before))
			}
		}
		if !found {
			t.Errorf("no clock went on from %v s: offsets %v at %v to %v", was, shows, s.before, s.after)
		}
	}
}

// TestMovedHere is the shortest way: from this host to itself.
func TestMovedHere(t *testing.T) {
	require.Root(t)
	lsns := require.Command(t, "lsns", "util-linux")
	image := hostImage(t)
	moveHere(t, image, lsns).check(t, image)
}
