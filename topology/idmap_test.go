package topology

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestValidateIDMap(t *testing.T) {
	many := func(n int) (m []Extent) {
		for i := range n {
			m = append(m, Extent{Inside: uint32(i), Outside: uint32(1000 + i), Count: 1})
		}
		return m
	}
	for _, tt := range []struct {
		name string
		m    []Extent
		want string // of the error; empty for none
	}{
		{name: "never written"},
		{name: "the initial user namespace's own", m: []Extent{{0, 0, 4294967295}}},
		{name: "unordered neighbours", m: []Extent{{10, 5, 10}, {0, 15, 10}}},
		{name: "as many as go in", m: many(340)},
		{name: "too many", m: many(341), want: "id map has 341 extents, the kernel takes 340"},
		{name: "no ids", m: []Extent{{0, 0, 1}, {5, 5, 0}}, want: "extent 2 (5 5 0): its count is zero"},
		{
			name: "inside wraps", m: []Extent{{4294967290, 0, 6}},
			want: "extent 1 (4294967290 0 6): its inside ids run past 4294967294",
		},
		{name: "inside just fits", m: []Extent{{4294967290, 0, 5}}},
		{
			name: "outside wraps", m: []Extent{{0, 4294967290, 6}},
			want: "extent 1 (0 4294967290 6): its outside ids run past 4294967294",
		},
		{
			name: "out of sight", m: []Extent{{0, NoID, 1}},
			want: "extent 1 (0 4294967295 1): where it maps to could not be seen",
		},
		{
			name: "overlap inside", m: []Extent{{0, 1000, 10}, {20, 3000, 1}, {9, 2000, 10}},
			want: "extent 3 (9 2000 10) overlaps extent 1 (0 1000 10) inside",
		},
		{
			name: "overlap outside", m: []Extent{{100, 1009, 10}, {0, 1000, 10}},
			want: "extent 2 (0 1000 10) overlaps extent 1 (100 1009 10) outside",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if err := ValidateIDMap(tt.m); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("ValidateIDMap (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMapID(t *testing.T) {
	m := []Extent{{0, 100000, 10}, {20, 5, 3}, {50, NoID, 1}, {4294967290, 7, 5}}
	type result struct {
		ID uint32
		OK bool
	}
	for _, tt := range []struct {
		name     string
		f        func([]Extent, uint32) (uint32, bool)
		id, want uint32
		ok       bool
	}{
		{name: "first down", f: MapDown, id: 0, want: 100000, ok: true},
		{name: "last down", f: MapDown, id: 9, want: 100009, ok: true},
		{name: "past the end down", f: MapDown, id: 10, want: NoID},
		{name: "second extent down", f: MapDown, id: 22, want: 7, ok: true},
		{name: "out of sight down", f: MapDown, id: 50, want: NoID},
		{name: "highest down", f: MapDown, id: 4294967294, want: 11, ok: true},
		{name: "first up", f: MapUp, id: 100000, want: 0, ok: true},
		{name: "second extent up", f: MapUp, id: 6, want: 21, ok: true},
		{name: "unmapped up", f: MapUp, id: 99999, want: NoID},
		{name: "no id up", f: MapUp, id: NoID, want: NoID},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id, ok := tt.f(m, tt.id)
			if diff := cmp.Diff(result{tt.want, tt.ok}, result{id, ok}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestCompose(t *testing.T) {
	for _, tt := range []struct {
		name                string
		child, parent, want []Extent
	}{
		{
			name:  "a container in a container",
			child: []Extent{{0, 1000, 100}}, parent: []Extent{{0, 100000, 65536}},
			want: []Extent{{0, 101000, 100}},
		},
		{
			name:  "split at the parent's seams",
			child: []Extent{{0, 5, 10}}, parent: []Extent{{8, 300, 100}, {0, 1000, 8}},
			want: []Extent{{0, 1005, 3}, {3, 300, 7}},
		},
		{
			name:  "the unmapped is dropped",
			child: []Extent{{0, 5, 10}}, parent: []Extent{{0, 100, 6}, {12, 200, 1}},
			want: []Extent{{0, 105, 1}, {7, 200, 1}},
		},
		{
			name:  "an extent out of sight maps nothing",
			child: []Extent{{0, NoID, 1}, {1, 0, 2}}, parent: []Extent{{0, NoID, 1}, {1, 9, 1}},
			want: []Extent{{2, 9, 1}},
		},
		{
			name:  "one more level than the highest id",
			child: []Extent{{0, 0, 4294967295}}, parent: []Extent{{0, 0, 4294967295}},
			want: []Extent{{0, 0, 4294967295}},
		},
		{name: "parent without a map", child: []Extent{{0, 0, 1}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, Compose(tt.child, tt.parent)); diff != "" {
				t.Errorf("Compose (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRelativizeFact is what /proc shows on 6.18 of a namespace two levels
// below the initial one, read from there.
func TestRelativizeFact(t *testing.T) {
	seenParent, err := ParseIDMap("         0     100000      65536\n")
	if err != nil {
		t.Fatal(err)
	}
	seenChild, err := ParseIDMap("         0     101000        100\n       100     100000          1\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []Extent{{0, 1000, 100}, {100, 0, 1}}
	if diff := cmp.Diff(want, Relativize(seenChild, seenParent)); diff != "" {
		t.Errorf("Relativize (-want +got):\n%s", diff)
	}
}

// randomIDMap returns a valid map over few enough ids to meet all the corners.
func randomIDMap(rng *rand.Rand) []Extent {
	const span = 64
	outside := rng.Perm(span)
	var m []Extent
	for in := 0; in < span; {
		count := 1 + rng.IntN(6)
		if rng.IntN(3) == 0 {
			in += count // a gap
			continue
		}
		for range count {
			if in < span {
				m = append(m, Extent{Inside: uint32(in), Outside: uint32(outside[in]), Count: 1})
				in++
			}
		}
	}
	m = mergeIDMap(m)
	rng.Shuffle(len(m), func(i, j int) { m[i], m[j] = m[j], m[i] })
	return m
}

func TestIDMapProperties(t *testing.T) {
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		child, parent, grand := randomIDMap(rng), randomIDMap(rng), randomIDMap(rng)
		if err := ValidateIDMap(child); err != nil {
			t.Fatalf("seed %d: random map %v: %v", seed, child, err)
		}
		both := Compose(child, parent)
		for id := range uint32(70) {
			mid, ok := MapDown(child, id)
			want := NoID
			if ok {
				want, _ = MapDown(parent, mid)
				if back, ok := MapUp(child, mid); !ok || back != id {
					t.Fatalf("seed %d: MapUp(%d) = %d, %v, want %d", seed, mid, back, ok, id)
				}
			}
			if got, _ := MapDown(both, id); got != want {
				t.Fatalf("seed %d: id %d through both: %d, one by one: %d", seed, id, got, want)
			}
		}
		check := func(law string, want, got []Extent) {
			t.Helper()
			if diff := cmp.Diff(mergeIDMap(want), mergeIDMap(got)); diff != "" {
				t.Fatalf("seed %d: %s (-want +got):\n%s", seed, law, diff)
			}
		}
		if err := ValidateIDMap(both); err != nil {
			t.Fatalf("seed %d: composed: %v", seed, err)
		}
		check("composition is associative", Compose(Compose(child, parent), grand), Compose(child, Compose(parent, grand)))
		check("inversion is its own inverse", child, Invert(Invert(child)))
		// What the parent maps comes back through the ancestor's eyes; the rest is lost.
		relative := Relativize(both, parent)
		for id := range uint32(70) {
			want, _ := MapDown(child, id)
			if _, seen := MapDown(both, id); !seen {
				want = NoID
			}
			if got, _ := MapDown(relative, id); got != want {
				t.Fatalf("seed %d: id %d relativized: %d, want %d", seed, id, got, want)
			}
		}
	}
}

// TestRelativizeKeepsExtents: a map that the kernel would take, each extent
// inside one of the parent's, comes back extent by extent.
func TestRelativizeKeepsExtents(t *testing.T) {
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 2))
		parent := sortedByInside(randomIDMap(rng))
		var child []Extent
		for _, e := range sortedByInside(randomIDMap(rng)) {
			if inOneExtent(e, parent) {
				child = append(child, e)
			}
		}
		if diff := cmp.Diff(child, Relativize(Compose(child, parent), parent)); diff != "" {
			t.Fatalf("seed %d (-want +got):\n%s", seed, diff)
		}
	}
}

func TestParseIDMap(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []Extent
		err        string
	}{
		{name: "unwritten"},
		{
			name: "as the kernel prints it", text: "         0       1000          1\n         1     100000      65536\n",
			want: []Extent{{0, 1000, 1}, {1, 100000, 65536}},
		},
		{name: "compact, no newline", text: "0 0 4294967295", want: []Extent{{0, 0, 4294967295}}},
		{name: "out of sight", text: "0 4294967295 1\n", want: []Extent{{0, NoID, 1}}},
		{name: "too few fields", text: "0 0 1\n1 2\n", err: `parse id map, line 2 "1 2": 2 fields, not 3`},
		{
			name: "no number", text: "0 x 1\n",
			err: `parse id map, line 1 "0 x 1": field 2: invalid syntax`,
		},
		{
			name: "too large", text: "0 0 4294967296\n",
			err: `parse id map, line 1 "0 0 4294967296": field 3: value out of range`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseIDMap(tt.text)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("ParseIDMap (-want +got):\n%s", diff)
			}
			msg := ""
			if err != nil {
				msg = err.Error()
			}
			if diff := cmp.Diff(tt.err, msg); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFormatIDMapFits(t *testing.T) {
	// As many extents as the kernel takes, in less than a page, as it wants them.
	var m []Extent
	for i := range uint32(340) {
		m = append(m, Extent{Inside: i, Outside: 1000 + i, Count: 1})
	}
	text := FormatIDMap(m)
	if len(text) >= 4096 || !strings.HasPrefix(text, "0 1000 1\n1 1001 1\n") {
		t.Errorf("FormatIDMap: %d bytes, begins %q", len(text), text[:20])
	}
}

func FuzzParseIDMap(f *testing.F) {
	f.Add("         0       1000          1\n")
	f.Add("0 4294967295 1\n\n1 1 1")
	f.Add("1 2 3 4\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseIDMap(text)
		if err != nil {
			return
		}
		again, err := ParseIDMap(FormatIDMap(m))
		if err != nil {
			t.Fatalf("own output: %v", err)
		}
		if diff := cmp.Diff(m, again); diff != "" {
			t.Fatalf("through text and back (-want +got):\n%s", diff)
		}
		// None of these may panic, whatever the numbers.
		_ = ValidateIDMap(m)
		if len(m) <= MaxExtents {
			Relativize(m, Compose(m, m))
		}
	})
}
