package topology_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	. "github.com/renest/renest/topology"
	"github.com/renest/renest/topology/topologytest"
)

// sole is how a change that stands alone is told, by the names of [changes].
var sole = map[string]string{
	"uid map": "uid map", "gid map": "gid map", "creator": "creator's uid", "setgroups": "setgroups",
	"maps unread": "state of the user namespace", "host name": "host name", "domain name": "domain name",
	"names unread": "names", "offset": "boottime offset", "state": "state", "removed": "removed", "added": "added",
	"owner out of sight": "owner", "owner out of the tree": "owner", "pid parent one up": "parent",
	"user parent one up": "owner", "owner one down": "owner", "external": "removed",
	"task elsewhere": "net", "task one level up": "depth in pid namespaces", "task gone": "removed",
	"thread leaves": "added",
}

// kind says of a change what it is of.
func kind(c Change) string {
	switch {
	case c.First == nil && c.FirstTask == nil:
		return "added"
	case c.Second == nil && c.SecondTask == nil:
		return "removed"
	}
	var list []string
	for _, x := range c.Aspects {
		list = append(list, x.What)
	}
	return strings.Join(list, " ")
}

// TestDiffNamesOneChange makes one change at a time: it is told as that, and as
// nothing else. Where graphs are small and much in them is alike, one may be told
// as another that leads to the same, and hardly ever as more than one. The tasks of
// these graphs, which share namespaces crosswise as no real ones do, may at times
// be taken for each other.
func TestDiffNamesOneChange(t *testing.T) {
	for _, c := range changes {
		t.Run(c.name, func(t *testing.T) {
			made, otherwise, more := 0, 0, 0
			tasks := strings.Contains(c.name, "task") || strings.Contains(c.name, "thread")
			for seed := range uint64(200) {
				rng := rand.New(rand.NewPCG(seed, 40))
				a := topologytest.Random(rng, topologytest.Options{Tasks: true})
				b := topologytest.Renumbered(rng, a)
				if !c.do(rng, b) {
					continue
				}
				made++
				o := DiffOptions{CompareOptions: CompareOptions{Tasks: tasks}}
				got, err := Diff(a, b, o)
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				if len(got) != 1 {
					more++
					t.Logf("seed %d: %d changes, not one:\n%v", seed, len(got), join(got))
					continue
				}
				if kind(got[0]) != sole[c.name] {
					otherwise++
					t.Logf("seed %d: told as %s", seed, got[0])
				}
			}
			if made < 20 || otherwise > made/20 {
				t.Errorf("made in %d of 200 graphs, and told as something else in %d", made, otherwise)
			}
			if more > 1 && !tasks || more > made/20 {
				t.Errorf("told as more than one in %d", more)
			}
		})
	}
}

func join(list []Change) string {
	var b strings.Builder
	for _, c := range list {
		fmt.Fprintln(&b, c)
	}
	return b.String()
}

// TestDiffSame: the same topology with other numbers has no differences.
func TestDiffSame(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 41))
		a := topologytest.Random(rng, topologytest.Options{Tasks: true, Dead: true})
		b := topologytest.Renumbered(rng, a)
		if got, err := Diff(a, b, DiffOptions{CompareOptions: withTasks}); err != nil || len(got) > 0 {
			t.Fatalf("seed %d: %v\n%v", seed, err, join(got))
		}
	}
}

// TestDiffLarge: ten thousand namespaces, and what was done to one or some.
func TestDiffLarge(t *testing.T) {
	size := 10000
	if testing.Short() {
		size = 1000
	}
	for seed := range uint64(1) {
		for _, name := range []string{"owner out of the tree", "host name", "removed", "added", "user parent one up", "pid parent one up"} {
			rng := rand.New(rand.NewPCG(seed, 42))
			a := topologytest.Random(rng, topologytest.Options{Namespaces: size, Depth: 12})
			b := topologytest.Renumbered(rng, a)
			for _, c := range changes {
				if c.name == name && !c.do(rng, b) {
					t.Fatalf("seed %d: %s is not to be had", seed, name)
				}
			}
			got, err := Diff(a, b, DiffOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != 1 || kind(got[0]) != sole[name] {
				t.Errorf("seed %d, %s: told as\n%s", seed, name, join(got))
			}
		}
	}
}

// TestDiffMany makes several changes: no more are told than were made, but for a
// few that hide what belongs together.
func TestDiffMany(t *testing.T) {
	told, made := 0, 0
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 43))
		a := topologytest.Random(rng, topologytest.Options{Namespaces: 60 + rng.IntN(200), Dead: true})
		b := topologytest.Renumbered(rng, a)
		n := 2 + rng.IntN(6)
		for i := 0; i < n; {
			c := changes[rng.IntN(len(changes))]
			if unfit(c.name) || !c.do(rng, b) {
				continue
			}
			i++
		}
		got, err := Diff(a, b, DiffOptions{})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		steps := 0
		for _, c := range got {
			steps += max(1, len(c.Aspects))
		}
		if steps > n {
			t.Logf("seed %d: %d changes told as %d:\n%s", seed, n, steps, join(got))
		}
		told, made = told+steps, made+n
	}
	if told > made*105/100 {
		t.Errorf("%d changes told as %d", made, told)
	}
}

// TestDiffUnlike: graphs with nothing in common take no longer, and add up.
func TestDiffUnlike(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 44))
		n := 30 + rng.IntN(3000)
		a := topologytest.Random(rng, topologytest.Options{Namespaces: n})
		b := topologytest.Random(rng, topologytest.Options{Namespaces: n / 2})
		got, err := Diff(a, b, DiffOptions{})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		balance := len(a.Namespaces)
		for _, c := range got {
			switch kind(c) {
			case "added":
				balance += 1 + len(c.Below)
			case "removed":
				balance -= 1 + len(c.Below)
			}
		}
		if balance != len(b.Namespaces) {
			t.Errorf("seed %d: %d namespaces and the changes make %d, not %d", seed, len(a.Namespaces), balance, len(b.Namespaces))
		}
	}
}

// TestDiffIdentity: within a boot it counts who is who.
func TestDiffIdentity(t *testing.T) {
	a := containers(3)
	a.Header.BootID = "boot"
	b := a.Clone()
	last := b.Namespaces[len(b.Namespaces)-1]
	last.Ino, last.ID = 999, 999
	byShape, err := Diff(a, b, DiffOptions{})
	if err != nil || len(byShape) > 0 {
		t.Errorf("by shape: %v %v", byShape, err)
	}
	got, err := Diff(a, b, DiffOptions{Identity: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || kind(got[0]) != "removed" || kind(got[1]) != "added" {
		t.Errorf("by identity:\n%s", join(got))
	}
	b.Header.BootID = "another"
	if _, err := Diff(a, b, DiffOptions{Identity: true}); !errors.Is(err, ErrOtherBoot) {
		t.Errorf("across boots: %v, want %v", err, ErrOtherBoot)
	}
}

// TestDiffTells: the words.
func TestDiffTells(t *testing.T) {
	a, b := newNest(), newNest()
	b.uts.UTS.NodeName = "other"
	b.b.Ino = 77
	b.b.User.UIDMap[0].Count = 7
	b.net.Owner = b.a
	up := &Namespace{Type: User, Ino: 50, Owner: b.host, Parent: b.host}
	b.g.Namespaces = append(b.g.Namespaces, up,
		&Namespace{Type: UTS, Ino: 51, Owner: up, UTS: &UTSState{}}, &Namespace{Type: IPC, Ino: 52, Owner: up})
	b.g.Namespaces = append(b.g.Namespaces[:10], b.g.Namespaces[11:]...) // without mnt
	got, err := Diff(a.g, b.g, DiffOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := `changed user:[11], now user:[77]: uid map 0→300000+1000 → 0→300000+7
changed uts:[30]: host name "box" → "other"
removed mnt:[33], owned by user:[10]
changed net:[32]: owner user:[12] → user:[10]
added user:[50], owned by the host, with 1 uts, 1 ipc below
`
	if diff := cmp.Diff(want, join(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// unfit are the changes that cannot be made after others.
func unfit(name string) bool {
	return slices.ContainsFunc([]string{"task", "thread", "unread", "sight", "external"}, func(s string) bool {
		return strings.Contains(name, s)
	})
}

func BenchmarkDiff(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 42))
	g := topologytest.Random(rng, topologytest.Options{Namespaces: 10000, Depth: 12})
	h := topologytest.Renumbered(rng, g)
	for range 20 {
		for _, c := range changes {
			if !unfit(c.name) {
				c.do(rng, h)
			}
		}
	}
	unlike := topologytest.Random(rng, topologytest.Options{Namespaces: 10000, Depth: 12})
	for name, other := range map[string]*Graph{"changed": h, "unlike": unlike} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := Diff(g, other, DiffOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
