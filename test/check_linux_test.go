package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/dump/forecast"
	"github.com/renest/renest/test/criu"
	"github.com/renest/renest/topology"
)

// checked is what renest check --json says.
type checked struct {
	Verdict  string
	Findings []struct {
		Rule, Verdict, Type, Message, Loss string
		PIDs                               []int
	}
	Complete bool
	// RenestCRIU is what renest criu dump makes of it.
	RenestCRIU *struct {
		Takes  bool
		Layers []int
		Why    []string
	} `json:"renest_criu"`
	code int
	text string
}

// renestCheck runs renest check on a tree.
func renestCheck(t *testing.T, pid int) checked {
	t.Helper()
	out, err := exec.Command(program(t, "renest"), "check", "--json", "-t", strconv.Itoa(pid)).Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	c := checked{text: string(out)}
	if exit != nil {
		c.code = exit.ExitCode()
	}
	if err := json.Unmarshal(out, &c); err != nil {
		t.Fatalf("renest check: %v: %s%s", err, out, exit.Stderr)
	}
	return c
}

// said reports whether a log has the message of one of the findings with this
// verdict.
func (c checked) said(verdict, log string) bool {
	for _, f := range c.Findings {
		if f.Verdict == verdict && f.Message != "" && strings.Contains(log, f.Message) {
			return true
		}
	}
	return false
}

// outcome is what CRIU makes of a tree, in the words of check: it dumps it,
// and restores it where it can, and what comes back is compared.
func outcome(t *testing.T, d criuDir, pid int, predicted checked) (string, string) {
	t.Helper()
	before, err := dump.Tree(t.Context(), pid, dump.Options{})
	if err != nil {
		t.Fatal(err)
	}
	log, err := d.dump(t, pid)
	if err != nil {
		if !alive(pid) {
			t.Error("the tree does not run on after a dump that failed")
		}
		if !predicted.said("refuses", log) {
			return "refuses for another reason", errorsOf(log)
		}
		return "refuses", ""
	}
	restored, log, err := d.restore(t)
	// A pid that a task of the host's pid namespace is to have again may be somebody
	// else's for a moment.
	for tries := 0; err != nil && strings.Contains(log, "Can't fork for") && strings.Contains(log, ": File exists") && tries < 10; tries++ {
		restored, log, err = d.restore(t)
	}
	if err != nil {
		if !predicted.said("destroys", log) {
			return "destroys for another reason", errorsOf(log)
		}
		return "destroys", ""
	}
	after, err := dump.Tree(t.Context(), restored, dump.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d.end(t, restored)
	// What a hook verifies.
	want, err := forecast.Restored(before)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := topology.Isomorphic(want, after, topology.CompareOptions{Tasks: true, IgnoreTime: true, IgnoreSysctls: true}); err != nil {
		t.Errorf("not what forecast.Restored promises: %v", err)
	}
	_, err = topology.Isomorphic(before, after, topology.CompareOptions{Tasks: true, IgnoreTime: true, IgnoreSysctls: true})
	var differ *topology.Difference
	switch {
	case err == nil:
		return "clean", ""
	case errors.As(err, &differ):
		return "loses", differ.Error()
	}
	t.Fatal(err)
	return "", ""
}

// Each refusal and each loss: CRIU alone shows it, and check has said so before.
func TestCheckAgainstCRIU(t *testing.T) {
	const user = "user=0:100000:65536"
	for i, test := range []struct {
		name, tokens string
		rule, want   string
	}{
		{"plain", "sid name=root ( ( ) )", "", "clean"},
		{"own namespaces", "net uts ipc ( sid name=root ( ) ) leave", "", "clean"},
		{"container", user + " mnt pid net uts ipc ( name=root PIVOT ( ) ) reap leave", "", "clean"},
		{"sub net and mnt", user + " mnt pid net uts ipc ( name=root PIVOT ( net ) ( mnt ) ) leave", "", "clean"},

		{"nested user", "sid name=root ( " + user + " )", "nested", "refuses"},
		{"nested pid", "sid name=root pid ( )", "nested", "refuses"},
		{"nested uts", "sid name=root ( uts )", "nested", "refuses"},
		{"nested ipc", "sid name=root ( ( ipc ) )", "nested", "refuses"},
		{"nested cgroup", "sid name=root ( cgroup )", "nested", "refuses"},
		{"nested time", "sid name=root ( time ( ) )", "time", "refuses"},
		{"time for children", "sid name=root time", "time", "refuses"},
		{"descriptor", "sid name=root ( net ) hold=net kill", "descriptor", "refuses"},
		{"descriptor of user", "sid name=root ( " + user + " ) hold=user kill", "descriptor", "refuses"},
		{"bind", "mnt pid net ( name=root PIVOT ( net ) bind=net:/tmp/b ) leave", "bind", "refuses"},
		{"copied bind", "( net ) bind=net:BOUND ( sid name=root ( mnt ) ) leave", "bind", "refuses"},
		{"foreign net", "net " + user + " mnt pid uts ipc ( name=root PIVOT ) leave", "foreign", "refuses"},
		{"unmapped root", "user=5:100000:1000 net ( sid name=root ) leave", "no-root", "refuses"},
		{"not the init", "pid ( ( sid name=root ) )", "no-init", "refuses"},
		{"session outside", user + " mnt pid net uts ipc ( name=root ROOT ( ) ) reap leave", "session", "refuses"},
		{"stayed in net", "( sid name=root ( ) net ) leave", "stayed", "refuses"},
		{"stayed in mnt", "( sid name=root ( ) mnt ) leave", "stayed", "refuses"},

		{"destroyed net", "sid name=root ( net )", "shared", "destroys"},
		{"destroyed mnt", "sid name=root ( mnt )", "shared", "destroys"},
		{"stayed in uts", "( sid name=root ( ) uts ) leave", "stayed", "destroys"},
		{"stayed in ipc", "( sid name=root ( ) ipc ) leave", "stayed", "destroys"},
		{"descriptor of CRIU's", "( sid name=root own=uts uts ) leave", "descriptor-0", "destroys"},
		{"descriptor of CRIU's net", "( sid name=root own=net net ) leave", "descriptor-0", "destroys"},

		{"owner of sub net", "net mnt pid ( name=root PIVOT ( " + user + " net ) ( join=net ) drop ) leave", "owner", "loses"},
		{"owner of cgroup", "cgroup " + user + " mnt uts ipc net pid ( name=root PIVOT ) leave", "owner", "loses"},
		{"stayed in cgroup", "( sid name=root ( ) cgroup ) leave", "cgroup", "loses"},
		{"children", "sid name=root pid", "children", "loses"},
		{"thread", "sid name=root thread=uts", "thread", "loses"},
		{"setgroups", "deny=0:100000:65536 mnt pid net uts ipc ( name=root PIVOT ( ) ) reap leave", "setgroups", "loses"},
		{"creator", "euid=1000 user=0:100000:65536 mnt pid net uts ipc ( name=root PIVOT ( ) ) reap leave", "creator", "loses"},
		{"zombie", "sid name=root ( " + user + " ) zombie", "zombie", "loses"},
		{"depth", user + " mnt pid ( user=0:0:1000 mnt pid net uts ipc reap ( name=root PIVOT ( ) ) )", "depth", "loses"},
	} {
		if testing.Short() && i%3 != 0 && test.rule != "creator" {
			continue // a VM takes its time, and has what the latter needs
		}
		if ok, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, unix.CAP_SYS_RESOURCE, 0, 0, 0); test.rule == "creator" && err == nil && ok != 1 {
			t.Logf("%s: CRIU would need CAP_SYS_RESOURCE, which is not in the bounding set", test.name)
			continue // CRIU asks for limits of tasks that are not of its own making
		}
		t.Run(test.name, func(t *testing.T) {
			root := shapeRoot(t)
			d := newCRIUDir(t, root)
			bound := filepath.Join(t.TempDir(), "bound")
			s := startShape(t, strings.NewReplacer("PIVOT", "pivot="+root+" sid", "ROOT", "pivot="+root, "BOUND", bound).Replace(test.tokens))
			t.Cleanup(func() { _ = unix.Unmount(bound, unix.MNT_DETACH) })
			if test.rule == "owner" || test.rule == "cgroup" {
				test.rule = cgroupRule(t, s.root, test.rule)
			}
			predicted := renestCheck(t, s.root)
			if predicted.Verdict != test.want {
				t.Errorf("check says %s, not %s:\n%s", predicted.Verdict, test.want, predicted.text)
			}
			if test.rule != "" && (len(predicted.Findings) == 0 || predicted.Findings[0].Rule != test.rule) {
				t.Errorf("check does not name rule %s first:\n%s", test.rule, predicted.text)
			}
			if want := map[string]int{"clean": 0, "loses": 1}[test.want]; want != predicted.code && predicted.code != 3 {
				t.Errorf("exit %d", predicted.code)
			}
			compareRefusal(t, predicted, s.root)
			got, why := outcome(t, d, s.root, predicted)
			if got != predicted.Verdict {
				t.Errorf("CRIU %s, check says %s:\n%s\n%s", got, predicted.Verdict, why, predicted.text)
			}
		})
	}
}

// compareRefusal has renest criu dump refuse a tree of which check says that it does,
// for the same reasons, before anything is frozen.
func compareRefusal(t *testing.T, predicted checked, root int) {
	t.Helper()
	says := predicted.RenestCRIU
	if (says == nil) != (predicted.Verdict == "clean") {
		t.Errorf("check says nothing of renest criu dump:\n%s", predicted.text)
	}
	if says == nil || says.Takes {
		return
	}
	out := renestFails(t, "criu", "dump", "--criu", criu.Require(t).Path(), "-t", strconv.Itoa(root), "-D", t.TempDir())
	for _, why := range says.Why {
		if !strings.Contains(out, why) {
			t.Errorf("renest criu dump says nothing of %q:\n%s", why, out)
		}
	}
	if !strings.Contains(out, "cannot be dumped") || !alive(root) {
		t.Errorf("the tree runs: %v, renest criu dump says: %s", alive(root), out)
	}
}

// wantTaken has check say beforehand that renest criu dump takes a tree, in so many
// layers.
func wantTaken(t *testing.T, root, layers int) {
	t.Helper()
	predicted := renestCheck(t, root)
	says := predicted.RenestCRIU
	if says == nil && layers == 1 && predicted.Verdict == "clean" {
		return
	}
	if says == nil || !says.Takes || len(says.Layers) != layers || says.Layers[0] != root {
		t.Errorf("check does not say that renest criu dump takes the tree in %d layers:\n%s", layers, predicted.text)
	}
}

// cgroupRule is the rule that a tree comes under for its cgroup namespace, where that
// was made in the root cgroup: elsewhere it is another.
func cgroupRule(t *testing.T, pid int, elsewhere string) string {
	t.Helper()
	own, err1 := os.Readlink("/proc/self/ns/cgroup")
	its, err2 := os.Readlink(fmt.Sprintf("/proc/%d/ns/cgroup", pid))
	cgroups, err3 := os.ReadFile("/proc/self/cgroup")
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(cgroups)) {
		if !strings.HasSuffix(line, ":/\n") {
			return elsewhere
		}
	}
	if own == its {
		return elsewhere
	}
	return "cgroup-root"
}
