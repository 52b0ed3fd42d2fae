package images

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"google.golang.org/protobuf/proto"

	pb "github.com/renest/renest/images/internal/nstreepb"
	"github.com/renest/renest/topology"
)

// TestTruncated cuts images after every byte.
func TestTruncated(t *testing.T) {
	for name, g := range map[string]*topology.Graph{"small": small(), "full": full()} {
		image := encoded(t, g)
		for n := range image {
			_, err := Decode(bytes.NewReader(image[:n]))
			if !errors.Is(err, ErrTruncated) {
				t.Fatalf("%s: %d of %d bytes: %v, want %v", name, n, len(image), err, ErrTruncated)
			}
		}
	}
}

// TestBitFlips turns over every bit. Where a size grows, the image may seem cut
// short instead of damaged.
func TestBitFlips(t *testing.T) {
	for name, g := range map[string]*topology.Graph{"small": small(), "full": full()} {
		image := encoded(t, g)
		for bit := range len(image) * 8 {
			damaged := slices.Clone(image)
			damaged[bit/8] ^= 1 << (bit % 8)
			_, err := Decode(bytes.NewReader(damaged))
			var format *FormatError
			if !errors.As(err, &format) {
				t.Fatalf("%s: byte %d bit %d: %v, want a FormatError", name, bit/8, bit%8, err)
			}
		}
	}
}

// TestSwapped: entries that are whole, and not where they were, are seen.
func TestSwapped(t *testing.T) {
	image := encoded(t, full())
	var entries [][]byte
	for at := headerEnd(image); at < len(image); {
		size := 4 + int(binary.LittleEndian.Uint32(image[at:]))
		entries = append(entries, image[at:at+size])
		at += size
	}
	head := image[:headerEnd(image)]
	for i := range len(entries) - 1 {
		swapped, without := slices.Clone(entries), slices.Clone(entries)
		swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
		without = slices.Delete(without, i, i+1)
		for _, list := range [][][]byte{swapped, without, slices.Insert(slices.Clone(entries), i, entries[i])} {
			if _, err := Decode(bytes.NewReader(append(slices.Clone(head), bytes.Join(list, nil)...))); !errors.Is(err, ErrChecksum) {
				t.Fatalf("entry %d: %v, want %v", i+1, err, ErrChecksum)
			}
		}
	}
}

func TestNotImage(t *testing.T) {
	criu := binary.LittleEndian.AppendUint32(nil, magicCommon)
	criu = binary.LittleEndian.AppendUint32(criu, 0x50273030) // PSTREE_MAGIC
	tests := map[string]struct {
		data string
		want error
		says string
	}{
		"empty":        {"", ErrTruncated, "nothing to read"},
		"text":         {"#!/bin/sh\nexit\n", ErrNotImage, "not an image"},
		"another CRIU": {string(criu), ErrNotImage, "of another kind"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Decode(strings.NewReader(tt.data))
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %v with %q", err, tt.want, tt.says)
			}
		})
	}
}

// TestSourceFails: a failing disk is not taken for a damaged image.
func TestSourceFails(t *testing.T) {
	image := encoded(t, small())
	broken := errors.New("disk on fire")
	for _, n := range []int{0, 3, 8, 10, 20, len(image) - 1} {
		_, err := Decode(io.MultiReader(bytes.NewReader(image[:n]), iotest.ErrReader(broken)))
		var format *FormatError
		if !errors.Is(err, broken) || errors.As(err, &format) {
			t.Errorf("after %d bytes: got %v, want %v and no FormatError", n, err, broken)
		}
	}
}

// allocated runs f and returns the bytes it allocated.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestHugeSize: what an entry claims to hold costs nothing.
func TestHugeSize(t *testing.T) {
	image := encoded(t, small())
	for name, tt := range map[string]struct {
		at   int
		size uint32
		want error
	}{
		"header of 4 GiB":     {magicSize, math.MaxUint32, ErrLimit},
		"header of the limit": {magicSize, maxHeader, ErrTruncated},
		"entry of 4 GiB":      {headerEnd(image), math.MaxUint32, ErrLimit},
		"entry of the limit":  {headerEnd(image), maxEntry, ErrTruncated},
		"header of nothing":   {magicSize, 0, ErrInvalid},
		"entry of a seal":     {headerEnd(image), 4, ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			damaged := slices.Clone(image)
			binary.LittleEndian.PutUint32(damaged[tt.at:], tt.size)
			var err error
			used := allocated(func() { _, err = Decode(bytes.NewReader(damaged)) })
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if used > 256<<10 {
				t.Errorf("%d bytes allocated for an image of %d", used, len(image))
			}
		})
	}
}

// TestBomb: the entry that is cheapest to write for what it costs to read, all
// empty pins, stays affordable.
func TestBomb(t *testing.T) {
	pins := make([]*pb.Pin, maxEntry/2-100)
	for i := range pins {
		pins[i] = new(pb.Pin)
	}
	user := namespaceEntry(&pb.Namespace{Type: pb.NamespaceType_USER, Ino: 1, External: true})
	image := forge(t, headerEntry(&pb.Header{Version: Version}), user, pinsEntry(pins...))
	var err error
	used := allocated(func() { _, err = Decode(bytes.NewReader(image)) })
	t.Logf("%d MiB allocated for %d KiB, %v", used>>20, len(image)>>10, err)
	if !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v, want %v", err, ErrInvalid)
	}
	if used > 40<<20 {
		t.Errorf("%d MiB allocated for an image of %d KiB", used>>20, len(image)>>10)
	}
}

// TestEncodeRefuses: what could not be read again is not written.
func TestEncodeRefuses(t *testing.T) {
	tests := map[string]struct {
		change func(g *topology.Graph)
		want   error
		says   string
	}{
		"version":          {func(g *topology.Graph) { g.Header.Version = 2 }, ErrVersion, "version 2"},
		"negative root":    {func(g *topology.Graph) { g.Header.Root = -1 }, ErrInvalid, "root"},
		"negative pid":     {func(g *topology.Graph) { g.Namespaces[1].Pins[0].PID = -1 }, ErrInvalid, "pin"},
		"setgroups":        {func(g *topology.Graph) { g.Namespaces[0].User = &topology.UserState{Setgroups: "maybe"} }, ErrInvalid, "maybe"},
		"tasks unsorted":   {func(g *topology.Graph) { g.Tasks = append(g.Tasks, g.Tasks[0]) }, ErrInvalid, "after task 7"},
		"order":            {func(g *topology.Graph) { slices.Reverse(g.Namespaces) }, ErrInvalid, "does not come first"},
		"too much missing": {func(g *topology.Graph) { g.Header.Missing = []string{strings.Repeat("x", maxHeader)} }, ErrLimit, "header"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			g := small()
			tt.change(g)
			err := Encode(io.Discard, g)
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %v with %q", err, tt.want, tt.says)
			}
		})
	}
	t.Run("what Validate refuses", func(t *testing.T) {
		g := small()
		g.Namespaces[1].State = topology.Dead
		if err := Encode(io.Discard, g); err == nil {
			t.Error("a dead net namespace was written")
		}
	})
	t.Run("writer fails", func(t *testing.T) {
		r, w := io.Pipe()
		r.Close()
		if err := Encode(w, sandboxes(2000)); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("got %v, want %v", err, io.ErrClosedPipe)
		}
	})
}

// TestSealed: the seal is the last field of an entry as protobuf has it, too.
func TestSealed(t *testing.T) {
	image := encoded(t, small())
	var e pb.Entry
	if err := proto.Unmarshal(image[magicSize+4:headerEnd(image)], &e); err != nil {
		t.Fatal(err)
	}
	want := checksum(0, image[:headerEnd(image)-4])
	if e.GetSeal() != want {
		t.Errorf("seal %#x, want %#x", e.GetSeal(), want)
	}
}
