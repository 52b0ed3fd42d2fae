//go:build linux

package dump

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/google/go-cmp/cmp"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// TestHidden hides namespaces in every way there is, and has each found, with its
// state and all that pins it. What others find is put beside it.
func TestHidden(t *testing.T) {
	asUser(t)
	h := newHiding(t)
	ways := []struct {
		name   string
		hide   func(*hiding) *secret
		listns bool // which it takes
	}{
		{name: "owner of a mounted net", hide: ownerOfMounted},
		{name: "parent of a mounted user namespace", hide: parentOfMounted},
		{name: "user namespace between two, without a task", hide: between},
		{name: "net held by a descriptor", hide: netByFD},
		{name: "net held by a socket", hide: netBySocket},
		{name: "owner of a net held by a socket", hide: ownerOfSocket},
		{name: "mounted mount namespace", hide: mountedMnt},
		{name: "mounted in another mount namespace", hide: mountedElsewhere},
		{name: "mounted in a mount namespace without a task", hide: mountedNowhere},
		{name: "mounted outside the root directory of every task", hide: mountedOutside},
		{name: "mounted below another mount", hide: mountedTwice},
		{name: "in a mount that is mounted nowhere", hide: mountedDetached},
		{name: "uts of one thread", hide: utsOfThread},
		{name: "descriptor of one thread", hide: fdOfThread},
		{name: "time_for_children", hide: timeForChildren},
		{name: "dead parent of a dead pid namespace", hide: deadParent},
		{name: "mounted dead pid namespace", hide: deadMounted},
		{name: "unborn pid namespace", hide: unbornPID},
		{name: "user namespace of a zombie", hide: zombieUser},
		{name: "user namespace that only owns", hide: ownerOnly},
		{name: "descriptor in flight", hide: inFlight},
		{name: "descriptor in flight behind another", hide: behindInFlight, listns: true},
		{name: "socket in flight", hide: socketInFlight},
	}
	listed := nsfs.HaveListns() == nil && os.Geteuid() == 0
	what := make([]*secret, len(ways))
	for i, w := range ways {
		what[i] = w.hide(h)
	}
	g, err := All(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Validate(); err != nil {
		t.Error(err)
	}
	others := peers(t)
	found := g.Index()
	var table bytes.Buffer
	out := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprint(out, "namespace\trenest")
	for _, p := range others {
		fmt.Fprint(out, "\t"+p.name)
	}
	fmt.Fprintln(out)
	for i, w := range ways {
		if what[i] == nil {
			continue
		}
		n := found.Lookup(typeOf(what[i].ref.Type), what[i].ref.Ino)
		fmt.Fprintf(out, "%s\t%s", w.name, yes(n != nil))
		for _, p := range others {
			fmt.Fprint(out, "\t"+yes(p.found[what[i].ref.Ino]))
		}
		fmt.Fprintln(out)
		t.Run(w.name, func(t *testing.T) {
			if n == nil {
				if !w.listns || listed {
					t.Errorf("%s is not found", what[i].ref)
				}
				return
			}
			checkSecret(t, n, what[i], func(pid int) bool { return descends(t, pid) })
		})
	}
	_ = out.Flush()
	t.Logf("who finds what (%s, %s):\n%s", g.Header.Kernel, g.Header.Source, &table)
	inFlight := 0
	for _, line := range g.Header.Missing {
		switch {
		case ofAnother(t, line, what):
		case strings.Contains(line, ": 1 of the descriptors in flight to it cannot be looked at"):
			inFlight++
		case os.Geteuid() == 0:
			t.Error("missing: ", line)
		}
	}
	if inFlight != 1 {
		t.Errorf("%d lines say that a descriptor in flight was not seen: %q", inFlight, g.Header.Missing)
	}
}

// ofAnother reports whether a line says what could not be seen of a process or of a
// namespace that is not the test's: some machines shield the first process even from
// root, and others come and go.
func ofAnother(t *testing.T, line string, secrets []*secret) bool {
	t.Helper()
	var pid int
	if n, _ := fmt.Sscanf(line, "pid %d", &pid); n == 1 {
		return !descends(t, pid)
	}
	object, _, _ := strings.Cut(line, ": ")
	_, _, err := topology.ParseName(object)
	ours := slices.ContainsFunc(secrets, func(s *secret) bool { return s != nil && s.ref.String() == object })
	return saysEnded(line) || err == nil && !ours
}

// checkSecret wants a namespace to be in the state in which it was hidden and to have
// the pins that it then had, and none but what others on the host add: who copies a
// mount namespace copies its mounts, and who dumps the host opens and enters what
// there is, which makes it active. Ours says which processes are the test's own.
func checkSecret(t *testing.T, n *topology.Namespace, s *secret, ours func(pid int) bool) {
	t.Helper()
	want := slices.Sorted(slices.Values(s.pins))
	var got []string
	alone := true
	for _, p := range n.Pins {
		text := describePin(p)
		other := p.Kind == topology.PinBind || p.PID != 0 && !ours(p.PID)
		if !other || slices.Contains(want, text) {
			got = append(got, text)
		} else {
			alone = false
		}
	}
	if n.State != s.state && alone {
		t.Errorf("%s is %s, want %s", n.Name(), n.State, s.state)
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got, emptyIsNil); diff != "" {
		t.Errorf("%s: pins (-want +got):\n%s", n.Name(), diff)
	}
}

// descends reports whether a process is this one, or a descendant of it.
func descends(t testing.TB, pid int) bool {
	t.Helper()
	for pid > 1 {
		if pid == os.Getpid() {
			return true
		}
		task, err := testProc(t).Task(pid)
		if err != nil {
			return false
		}
		var s nsfs.Status
		err = task.Status(&s)
		task.Close()
		if err != nil {
			return false
		}
		pid = s.PPID
	}
	return false
}

var emptyIsNil = cmp.Transformer("empty", func(s []string) []string { return append([]string{}, s...) })

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "–"
}

// peer is another program that lists namespaces, and the inode numbers of those
// that it found.
type peer struct {
	name  string
	found map[uint64]bool
}

// peers runs those of the programs that are there: lsns(8), flat and by each edge,
// and dumpns of lxkns.
func peers(t *testing.T) (list []peer) {
	t.Helper()
	for _, p := range []struct {
		name string
		args [][]string
		inos func([]byte) ([]uint64, error)
	}{
		{"lsns", [][]string{{"-J", "-o", "NS"}, {"-J", "-T=owner", "-o", "NS"}, {"-J", "-T=parent", "-o", "NS"}}, lsnsInos},
		{"dumpns", [][]string{{"-c"}}, dumpnsInos},
	} {
		path, err := exec.LookPath(p.name)
		if err != nil {
			continue
		}
		found := map[uint64]bool{}
		for _, args := range p.args {
			var inos []uint64
			out, err := exec.Command(path, args...).Output()
			if err == nil {
				inos, err = p.inos(out)
			}
			if err != nil {
				t.Logf("%s %s: %v", p.name, strings.Join(args, " "), err)
			}
			for _, ino := range inos {
				found[ino] = true
			}
		}
		list = append(list, peer{p.name, found})
	}
	return list
}

// lsnsInos reads the output of lsns, which nests.
func lsnsInos(b []byte) (inos []uint64, err error) {
	type namespace struct {
		NS       uint64
		Children []json.RawMessage
	}
	var all struct{ Namespaces []json.RawMessage }
	err = json.Unmarshal(b, &all)
	for todo := all.Namespaces; err == nil && len(todo) > 0; {
		var n namespace
		err = json.Unmarshal(todo[0], &n)
		inos, todo = append(inos, n.NS), append(todo[1:], n.Children...)
	}
	return inos, err
}

// dumpnsInos reads the output of lxkns's dumpns.
func dumpnsInos(b []byte) (inos []uint64, err error) {
	var all struct {
		Namespaces map[string]struct{ NSID uint64 }
	}
	err = json.Unmarshal(b, &all)
	for _, n := range all.Namespaces {
		inos = append(inos, n.NSID)
	}
	return inos, err
}
