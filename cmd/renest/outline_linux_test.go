package main

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/test/require"
)

func TestPage(t *testing.T) {
	list := []dump.Outlined{{ID: 1}, {ID: 4}, {ID: 9}}
	type cut struct {
		IDs  []uint64
		Next uint64
	}
	for _, tt := range []struct {
		name  string
		after uint64
		limit int
		want  cut
	}{
		{"all", 0, 0, cut{[]uint64{1, 4, 9}, 0}},
		{"the first", 0, 2, cut{[]uint64{1, 4}, 4}},
		{"the last", 4, 2, cut{[]uint64{9}, 0}},
		{"just all", 0, 3, cut{[]uint64{1, 4, 9}, 0}},
		{"after one that is gone", 2, 1, cut{[]uint64{4}, 4}},
		{"after all", 9, 1, cut{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cutOut, next := page(slices.Clone(list), tt.after, tt.limit)
			got := cut{Next: next}
			for _, n := range cutOut {
				got.IDs = append(got.IDs, n.ID)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestOutlinePages goes through an outline page by page, and finds in the pages what
// is in the whole: all but what comes and goes on a busy host, which is not among the
// first, fixed ids.
func TestOutlinePages(t *testing.T) {
	require.That(t, "listns", nsfs.HaveListns())
	require.Root(t)
	var got []outlinedJSON
	after := uint64(0)
	for {
		var one outlineListJSON
		if err := json.Unmarshal([]byte(outline(t, "--json --limit 5 --after "+strconv.FormatUint(after, 10))), &one); err != nil {
			t.Fatal(err)
		}
		if len(one.Namespaces) > 5 {
			t.Fatalf("a page of %d", len(one.Namespaces))
		}
		got = append(got, one.Namespaces...)
		if one.Next == nil {
			break
		}
		if last := one.Namespaces[len(one.Namespaces)-1].ID; *one.Next != last || last <= after {
			t.Fatalf("after %d comes %d, and then %d", after, last, *one.Next)
		}
		after = *one.Next
	}
	if !slices.IsSortedFunc(got, func(a, b outlinedJSON) int { return int(a.ID) - int(b.ID) }) {
		t.Errorf("not in the order of ids: %+v", got)
	}
	var whole outlineListJSON
	if err := json.Unmarshal([]byte(outline(t, "--json")), &whole); err != nil {
		t.Fatal(err)
	}
	fixed := func(list []outlinedJSON) []outlinedJSON {
		return slices.DeleteFunc(slices.Clone(list), func(n outlinedJSON) bool { return n.ID >= 10 })
	}
	if diff := cmp.Diff(fixed(whole.Namespaces), fixed(got)); diff != "" || len(fixed(got)) == 0 {
		t.Errorf("pages of %d, whole of %d (-whole +pages):\n%s", len(got), len(whole.Namespaces), diff)
	}
	if text := outline(t, "--limit 2 --type user,net"); strings.Count(text, "\n") > 3 {
		t.Errorf("a page of two, and its heading:\n%s", text)
	}
}

// outline returns what renest list --outline prints.
func outline(t *testing.T, args string) string {
	t.Helper()
	r := renest(t, nil, append([]string{"list", "--outline"}, strings.Fields(args)...)...)
	if r.Code != 0 {
		t.Fatalf("%+v", r)
	}
	return r.Stdout
}
