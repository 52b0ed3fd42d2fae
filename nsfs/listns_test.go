//go:build linux

package nsfs

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/renest/renest/test/require"
)

// fakeKernel lists ids as listns(2) does up to 7.2: with a nonzero cursor, an
// inactive next entry is taken for the end.
type fakeKernel struct {
	ids      []uint64
	inactive map[uint64]bool
	calls    int
}

func (k *fakeKernel) listns(req *unix.NsIdReq, buf []uint64) (int, error) {
	k.calls++
	if len(buf) > 1_000_000 {
		return 0, unix.EOVERFLOW
	}
	i, found := slices.BinarySearch(k.ids, req.Ns_id)
	if found {
		i++
	}
	if i == len(k.ids) || req.Ns_id != 0 && k.inactive[k.ids[i]] {
		return 0, unix.ENOENT
	}
	n := 0
	for _, id := range k.ids[i:] {
		if n == len(buf) {
			break
		}
		if !k.inactive[id] {
			buf[n] = id
			n++
		}
	}
	return n, nil
}

func TestListPaging(t *testing.T) {
	for _, tt := range []struct {
		name  string
		count int
		calls int
	}{
		{"none", 0, 1},
		{"one call", 100, 1},
		{"exactly the first buffer", 4098, 2},
		{"grown buffer", 20000, 2},
		{"grown twice", 200_000, 3},
		{"more than a call may ask for", 2_500_000, 6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := &fakeKernel{inactive: map[uint64]bool{}}
			var want []ID
			for i := range tt.count {
				id := uint64(i)*2 + 1
				k.ids = append(k.ids, id)
				if i == 4096 || i == 20 { // right after what the first buffer holds
					k.inactive[id] = true
					continue
				}
				want = append(want, ID(id))
			}
			var got []ID
			for id, err := range new(Lister).list(Query{}, k.listns) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, id)
			}
			if !slices.Equal(want, got) {
				t.Errorf("got %d ids, want %d", len(got), len(want))
			}
			if k.calls != tt.calls {
				t.Errorf("%d calls, want %d", k.calls, tt.calls)
			}
		})
	}
}

func TestListStopsEarly(t *testing.T) {
	k := &fakeKernel{ids: []uint64{1, 2, 3}}
	for id, err := range new(Lister).list(Query{}, k.listns) {
		if err != nil || id != 1 {
			t.Errorf("%v, %v", id, err)
		}
		break
	}
}

// TestListOwn lists by the real kernel and looks for the caller's own.
func TestListOwn(t *testing.T) {
	asUser(t, "TestListOwn")
	p := testProc(t)
	if err := HaveListns(); errors.Is(err, ErrNotSupported) {
		for _, err := range List(Query{}) {
			if !errors.Is(err, ErrNotSupported) {
				t.Errorf("List: %v, want ErrNotSupported", err)
			}
		}
		require.That(t, "listns", err)
	}
	self, err := p.Self()
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	for _, l := range []Link{InUser, InMnt, InUTS, InIPC, InPID, InCgroup, InNet, InTime} {
		h, err := self.Handle(l)
		if err != nil {
			t.Fatal(err)
		}
		var got []ID
		for id, err := range List(Query{Types: l.Type()}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, id)
		}
		if !slices.Contains(got, h.ID) || !slices.IsSorted(got) {
			t.Errorf("%s: %v, want it to hold %v and be in order", l, got, h.ID)
		}
	}
	for _, err := range List(Query{Owner: 1 << 60}) {
		if diff := cmp.Diff(true, errors.Is(err, unix.EINVAL)); diff != "" {
			t.Errorf("an owner that is not there: %v", err)
		}
	}
}
