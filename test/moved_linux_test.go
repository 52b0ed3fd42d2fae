package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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
	lsns := require.Command(t, "lsns", "util-linux")
	stable, newest := movedKernel(t, vm.Stable), movedKernel(t, vm.Backports)

	tools := func(k vm.Kernel) []vm.File {
		return slices.Concat(vm.Busybox(k), carryPrograms(t, k.Machine), carryDynamic(t, lsns))
	}

	first := runInVM(t, newest, vm.Job{
		Files: tools(newest), Commands: []vm.Command{shell(dumpScript(deepSpec()))}, Collect: []string{"/tmp/nest.img"},
	}).Files["/tmp/nest.img"]
	image := first
	for _, k := range []*vm.Kernel{&stable, nil, &newest} {
		where := "this host"
		var stop *stop
		if k == nil {
			stop = moveHere(t, image, lsns)
		} else {
			where = k.Machine.String()
			job := vm.Job{
				Files:    append([]vm.File{{Path: "/images/nest.img", Data: image, Mode: 0o644}}, tools(*k)...),
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

func movedKernel(t *testing.T, m vm.Machine) vm.Kernel {
	t.Helper()
	k, err := vm.Find(m)
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
for path in $(sed -n 's/^ *"path": "\(\/proc\/[0-9]*\/ns\/time\)".*/\1/p' %[4]s.json); do
	pid=${path#/proc/}
	echo "clock $(cut -d' ' -f22 /proc/${pid%%%%/*}/stat) $(cut -d' ' -f1 /proc/uptime) $(%[1]s/renest enter $path -- sh -c 'read up idle </proc/uptime; echo $up') $(cut -d' ' -f1 /proc/uptime)"
done
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
	clocks        []clockReading
	image         []byte // what was dumped there
}

// clockReading is what /proc/uptime shows (CLOCK_BOOTTIME) in a time namespace, to
// hundredths of a second.
type clockReading struct {
	born          topology.Offset // when its first process was, by the host's clock
	before, after topology.Offset // the host's, around the reading
	inside        topology.Offset
}

func parseClock(t *testing.T, text string) clockReading {
	t.Helper()
	f := strings.Fields(text)
	if len(f) != 4 {
		t.Fatalf("clock %q", text)
	}
	ticks, err := strconv.ParseInt(f[0], 10, 64) // of which there are always 100 in a second
	if err != nil {
		t.Fatalf("clock %q", text)
	}
	return clockReading{
		born:   topology.Offset{Sec: ticks / 100, Nsec: uint32(ticks%100) * 10_000_000},
		before: uptime(t, f[1]), inside: uptime(t, f[2]), after: uptime(t, f[3]),
	}
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
		case "clock":
			s.clocks = append(s.clocks, parseClock(t, rest))
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
			if at.Sub(s.before).Sec >= 0 && s.after.Add(hundredth).Sub(at).Sec >= 0 {
				found = true
				t.Logf("a clock that showed %v s went on %v s after the restore began, which took %v s",
					was, at.Sub(s.before), s.after.Sub(s.before))
				s.checkClock(t, was, at)
			}
		}
		if !found {
			t.Errorf("no clock went on from %v s: offsets %v at %v to %v", was, shows, s.before, s.after)
		}
	}
}

func milliseconds(o topology.Offset) float64 { return float64(o.Sec)*1000 + float64(o.Nsec)/1e6 }

var hundredth = topology.Offset{Nsec: 10_000_000}

// checkClock holds what a clock shows within the restored namespace against what it
// showed when it was dumped, and the time that has passed here since it went on: at
// the time at, by the offsets. It prints how far that was from the birth of the first
// process there, which may have come from elsewhere; that both were within the restore
// is all that is asked of a slow machine.
func (s *stop) checkClock(t *testing.T, was, at topology.Offset) {
	t.Helper()
	for _, c := range s.clocks {
		least := was.Add(c.before.Sub(at)).Sub(hundredth)
		most := was.Add(c.after.Sub(at)).Add(hundredth)
		if c.inside.Sub(least).Sec < 0 || most.Sub(c.inside).Sec < 0 {
			continue // another's
		}
		if c.born.Sub(s.before).Add(hundredth).Sec < 0 || s.after.Sub(c.born).Add(hundredth).Sec < 0 {
			t.Errorf("a clock went on at %v, and its first process was born at %v", at, c.born)
		}
		off := max(milliseconds(c.born.Sub(at)), milliseconds(at.Sub(c.born)))
		t.Logf("inside it shows %v s, %v to %v s after it went on, which was %.1f ms from the birth of its first process, within 50 ms: %t",
			c.inside, c.before.Sub(at), c.after.Sub(at), off, off <= 50)
		return
	}
	t.Errorf("of a clock that went on from %v at %v nothing is to be seen inside: %v", was, at, s.clocks)
}

// TestMovedHere is the shortest way: from this host to itself.
func TestMovedHere(t *testing.T) {
	require.Root(t)
	lsns := require.Command(t, "lsns", "util-linux")
	image := hostImage(t)
	moveHere(t, image, lsns).check(t, image)
}
