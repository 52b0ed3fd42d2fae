package images

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/renest/renest/images/internal/nstreepb"
	"github.com/renest/renest/topology"
)

// forge seals entries as an image, whatever they hold.
func forge(t testing.TB, entries ...*pb.Entry) []byte {
	t.Helper()
	var b bytes.Buffer
	f := frameWriter{w: &b}
	if err := f.magics(); err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		if err := f.entry(e, math.MaxInt32); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			f.headerDone()
		}
	}
	return b.Bytes()
}

func headerEntry(h *pb.Header) *pb.Entry {
	return &pb.Entry{Kind: &pb.Entry_Header{Header: h}}
}

func namespaceEntry(n *pb.Namespace) *pb.Entry {
	return &pb.Entry{Kind: &pb.Entry_Namespace{Namespace: n}}
}

func pinsEntry(pins ...*pb.Pin) *pb.Entry {
	return &pb.Entry{Kind: &pb.Entry_Pins{Pins: &pb.Pins{Pins: pins}}}
}

func taskEntry(t *pb.Task) *pb.Entry { return &pb.Entry{Kind: &pb.Entry_Task{Task: t}} }

func endEntry(namespaces, tasks uint32) *pb.Entry {
	return &pb.Entry{Kind: &pb.Entry_End{End: &pb.End{Namespaces: namespaces, Tasks: tasks}}}
}

// TestForged: what is sealed as it should be and still no image of ours.
func TestForged(t *testing.T) {
	header := headerEntry(&pb.Header{Version: Version})
	first := namespaceEntry(&pb.Namespace{Type: pb.NamespaceType_USER, Ino: 1, External: true})
	sameID := func(ino uint64) *pb.Entry {
		return namespaceEntry(&pb.Namespace{Type: pb.NamespaceType_USER, Ino: ino, Id: 7, External: true})
	}
	// second makes an image whose second namespace is a net namespace, changed.
	second := func(change func(n *pb.Namespace)) []*pb.Entry {
		n := &pb.Namespace{Type: pb.NamespaceType_NET, Ino: 2, Owner: 1}
		change(n)
		return []*pb.Entry{header, first, namespaceEntry(n), endEntry(2, 0)}
	}
	withTask := func(task *pb.Task) []*pb.Entry {
		return []*pb.Entry{header, first, taskEntry(task), endEntry(1, 1)}
	}
	long := bytes.Repeat([]byte("x"), 5000)

	tests := map[string]struct {
		entries []*pb.Entry
		want    error
		says    string
	}{
		"right":                  {entries: []*pb.Entry{header, first, endEntry(1, 0)}},
		"no header":              {[]*pb.Entry{first, endEntry(1, 0)}, ErrInvalid, "image header"},
		"empty entry":            {[]*pb.Entry{{}}, ErrInvalid, "image header"},
		"version 7":              {[]*pb.Entry{headerEntry(&pb.Header{Version: 7})}, ErrVersion, "image version 7, this renest reads 1"},
		"version 0":              {[]*pb.Entry{headerEntry(&pb.Header{})}, ErrVersion, "image version 0"},
		"two headers":            {[]*pb.Entry{header, header, endEntry(0, 0)}, ErrInvalid, "image entry 1 at byte"},
		"no end":                 {[]*pb.Entry{header, first}, ErrTruncated, "image entry 2"},
		"too few counted":        {[]*pb.Entry{header, first, endEntry(0, 0)}, ErrInvalid, "counted"},
		"too many counted":       {[]*pb.Entry{header, first, endEntry(1, math.MaxUint32)}, ErrInvalid, "counted"},
		"year 10000":             {[]*pb.Entry{headerEntry(&pb.Header{Version: 1, Created: proto.Int64(maxCreated + 1)})}, ErrInvalid, "created"},
		"long tool":              {[]*pb.Entry{headerEntry(&pb.Header{Version: 1, Tool: long})}, ErrLimit, "tool"},
		"root of 2^31":           {[]*pb.Entry{headerEntry(&pb.Header{Version: 1, Root: 1 << 31})}, ErrInvalid, "root"},
		"unknown kind of entry":  {[]*pb.Entry{header, {}, endEntry(0, 0)}, ErrInvalid, "kind"},
		"namespace after task":   {[]*pb.Entry{header, taskEntry(&pb.Task{Pid: 1}), first, endEntry(1, 1)}, ErrInvalid, "after the tasks"},
		"pins first":             {[]*pb.Entry{header, pinsEntry(), endEntry(0, 0)}, ErrInvalid, "pins of no namespace"},
		"pins after task":        {[]*pb.Entry{header, first, taskEntry(&pb.Task{Pid: 1}), pinsEntry(), endEntry(1, 1)}, ErrInvalid, "pins of no namespace"},
		"no type":                {second(func(n *pb.Namespace) { n.Type = 0 }), ErrInvalid, "type"},
		"type 9":                 {second(func(n *pb.Namespace) { n.Type = 9 }), ErrInvalid, "type"},
		"type 256+1":             {second(func(n *pb.Namespace) { n.Type = 257 }), ErrInvalid, "type"},
		"type -1":                {second(func(n *pb.Namespace) { n.Type = -1 }), ErrInvalid, "type"},
		"state 4":                {second(func(n *pb.Namespace) { n.State = 4 }), ErrInvalid, "state"},
		"state 256":              {second(func(n *pb.Namespace) { n.State = 256 }), ErrInvalid, "state"},
		"itself as owner":        {second(func(n *pb.Namespace) { n.Owner = 2 }), ErrInvalid, "owner 2, of 1"},
		"owner to come":          {second(func(n *pb.Namespace) { n.Owner = 3 }), ErrInvalid, "owner 3"},
		"owner of 2^32-1":        {second(func(n *pb.Namespace) { n.Owner = math.MaxUint32 }), ErrInvalid, "owner"},
		"parent of a net":        {second(func(n *pb.Namespace) { n.Parent = 1 }), ErrInvalid, "parent"},
		"twice":                  {[]*pb.Entry{header, first, first, endEntry(2, 0)}, ErrInvalid, "more than once"},
		"same id":                {[]*pb.Entry{header, sameID(1), sameID(2), endEntry(2, 0)}, ErrInvalid, "id 7"},
		"state of another type":  {second(func(n *pb.Namespace) { n.Uts = &pb.UTSState{} }), ErrInvalid, "uts"},
		"pin of no kind":         {second(func(n *pb.Namespace) { n.Pins = []*pb.Pin{{}} }), ErrInvalid, "pin"},
		"pin of kind 11":         {second(func(n *pb.Namespace) { n.Pins = []*pb.Pin{{Kind: 11}} }), ErrInvalid, "pin"},
		"pin of kind 257":        {second(func(n *pb.Namespace) { n.Pins = []*pb.Pin{{Kind: 257}} }), ErrInvalid, "pin"},
		"pin to nothing":         {second(func(n *pb.Namespace) { n.Pins = []*pb.Pin{{Kind: 8, Ns: 3}} }), ErrInvalid, "pin 3"},
		"pin by pid 2^31":        {second(func(n *pb.Namespace) { n.Pins = []*pb.Pin{{Kind: 1, Pid: 1 << 31}} }), ErrInvalid, "pin"},
		"long path":              {second(func(n *pb.Namespace) { n.Pins = []*pb.Pin{{Kind: 6, Path: long}} }), ErrLimit, "path"},
		"bind in a user":         {second(func(n *pb.Namespace) { n.Pins = []*pb.Pin{{Kind: 6, Mnt: 1}} }), ErrInvalid, "no mount namespace"},
		"long cgroup root":       {second(func(n *pb.Namespace) { n.Cgroup = &pb.CgroupState{Root: long} }), ErrLimit, "cgroup"},
		"init of 2^32-1":         {second(func(n *pb.Namespace) { n.Pid = &pb.PIDState{Init: math.MaxUint32} }), ErrInvalid, "pid"},
		"341 extents":            {second(func(n *pb.Namespace) { n.User = &pb.UserState{UidMap: make341()} }), ErrLimit, "uid map"},
		"341 extents of gids":    {second(func(n *pb.Namespace) { n.User = &pb.UserState{GidMap: make341()} }), ErrLimit, "gid map"},
		"setgroups 3":            {second(func(n *pb.Namespace) { n.User = &pb.UserState{Setgroups: 3} }), ErrInvalid, "setgroups"},
		"task in the wrong link": {withTask(&pb.Task{Pid: 1, Namespaces: []uint32{0, 1}}), ErrInvalid, "mnt"},
		"task in nothing":        {withTask(&pb.Task{Pid: 1, Namespaces: []uint32{2}}), ErrInvalid, "user 2"},
		"eleven links":           {withTask(&pb.Task{Pid: 1, Namespaces: make([]uint32, 11)}), ErrInvalid, "links"},
		"34 levels":              {withTask(&pb.Task{Pid: 1, Nspid: make([]uint32, 34)}), ErrLimit, "levels"},
		"nspid of 2^31":          {withTask(&pb.Task{Pid: 1, Nspid: []uint32{1 << 31}}), ErrInvalid, "pid"},
		"long comm":              {withTask(&pb.Task{Pid: 1, Comm: long}), ErrLimit, "comm"},
		"task twice": {
			[]*pb.Entry{header, taskEntry(&pb.Task{Pid: 1}), taskEntry(&pb.Task{Pid: 1}), endEntry(0, 2)}, ErrInvalid, "after task 1",
		},
		"tasks unsorted": {
			[]*pb.Entry{header, taskEntry(&pb.Task{Pid: 2}), taskEntry(&pb.Task{Pid: 1}), endEntry(0, 2)}, ErrInvalid, "after task 2",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Decode(bytes.NewReader(forge(t, tt.entries...)))
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if err == nil {
				return
			}
			var format *FormatError
			if !errors.As(err, &format) {
				t.Errorf("%v is no FormatError", err)
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%q does not say %q", err, tt.says)
			}
		})
	}
}

func make341() []*pb.Extent {
	extents := make([]*pb.Extent, topology.MaxExtents+1)
	for i := range extents {
		extents[i] = new(pb.Extent)
	}
	return extents
}

// TestUnknownField: a field of a later renest is ignored, and costs nothing.
func TestUnknownField(t *testing.T) {
	end := &pb.End{}
	end.ProtoReflect().SetUnknown([]byte{0x50, 0x01}) // field 10, varint 1
	image := forge(t, headerEntry(&pb.Header{Version: Version}), &pb.Entry{Kind: &pb.Entry_End{End: end}})
	if _, err := Decode(bytes.NewReader(image)); err != nil {
		t.Error(err)
	}
}

// TestLimits: the counts of entries, and where the limits are.
func TestLimits(t *testing.T) {
	image := encoded(t, full())
	tests := map[string]struct {
		decoder Decoder
		want    error
	}{
		"just enough":         {Decoder{MaxNamespaces: 14, MaxTasks: 3}, nil},
		"too many namespaces": {Decoder{MaxNamespaces: 13}, ErrLimit},
		"too many tasks":      {Decoder{MaxTasks: 2}, ErrLimit},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := tt.decoder.Decode(bytes.NewReader(image)); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}
