package criu

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/renest/renest/topology"
)

// ids makes a task_kobj_ids_entry of pairs of a field and its value.
func ids(pairs ...uint64) []byte {
	var b []byte
	for i := 0; i < len(pairs); i += 2 {
		b = protowire.AppendTag(b, protowire.Number(pairs[i]), protowire.VarintType)
		b = protowire.AppendVarint(b, pairs[i+1])
	}
	return b
}

// image frames one message.
func image(message []byte, magics ...uint32) []byte {
	var b []byte
	for _, m := range append(magics, uint32(len(message))) {
		b = binary.LittleEndian.AppendUint32(b, m)
	}
	return append(b, message...)
}

func folder() fstest.MapFS {
	root := ids(1, 1, 8, 4, 10, 7, 12, 5)
	inventory := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 2)
	inventory = protowire.AppendBytes(protowire.AppendTag(inventory, 3, protowire.BytesType), root)
	return fstest.MapFS{
		"inventory.img": {Data: image(inventory, magicInventory)},
		"ids-1.img":     {Data: image(ids(1, 2, 8, 300, 10, 14, 12, 5), magicCommon, magicIDs)},
		"ids-21.img":    {Data: image(ids(1, 3, 10, 14), magicCommon, magicIDs)},
		"ids-x.img":     {Data: []byte("another's")},
	}
}

func TestShare(t *testing.T) {
	got, err := Share(folder(), []topology.Type{topology.User, topology.UTS})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{
		"ids-1.img":  image(ids(1, 2, 8, 4, 10, 7, 12, 5), magicCommon, magicIDs),
		"ids-21.img": image(ids(1, 3, 10, 7), magicCommon, magicIDs),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestShareRefuses(t *testing.T) {
	huge := image(ids(1, 2), magicCommon, magicIDs)
	binary.LittleEndian.PutUint32(huge[8:], 1<<32-1)
	tests := map[string]struct {
		change func(dir fstest.MapFS)
		want   error
	}{
		"no inventory":       {func(dir fstest.MapFS) { delete(dir, "inventory.img") }, fs.ErrNotExist},
		"wrong magic":        {func(dir fstest.MapFS) { dir["inventory.img"].Data[0]++ }, ErrFormat},
		"truncated":          {func(dir fstest.MapFS) { dir["ids-1.img"].Data = dir["ids-1.img"].Data[:14] }, ErrFormat},
		"empty":              {func(dir fstest.MapFS) { dir["ids-1.img"].Data = nil }, ErrFormat},
		"4 GiB":              {func(dir fstest.MapFS) { dir["ids-1.img"].Data = huge }, ErrFormat},
		"long":               {func(dir fstest.MapFS) { dir["ids-1.img"].Data = make([]byte, maxIDs+1) }, ErrFormat},
		"no ids":             {func(dir fstest.MapFS) { delete(dir, "ids-1.img"); delete(dir, "ids-21.img") }, ErrFormat},
		"no message":         {func(dir fstest.MapFS) { dir["ids-1.img"].Data = image([]byte{0xff}, magicCommon, magicIDs) }, ErrFormat},
		"type CRIU has none": {func(dir fstest.MapFS) { dir["inventory.img"].Data = image(nil, magicInventory) }, ErrFormat},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := folder()
			tt.change(dir)
			if got, err := Share(dir, []topology.Type{topology.User}); !errors.Is(err, tt.want) {
				t.Errorf("%v, error %v, want %v", got, err, tt.want)
			}
		})
	}
}

func FuzzShare(f *testing.F) {
	dir := folder()
	f.Add(dir["inventory.img"].Data, dir["ids-1.img"].Data)
	f.Fuzz(func(t *testing.T, inventory, task []byte) {
		dir := fstest.MapFS{"inventory.img": {Data: inventory}, "ids-1.img": {Data: task}}
		got, err := Share(dir, []topology.Type{topology.User})
		if err != nil {
			return
		}
		// What was written can be read, and is not changed by doing it again.
		dir["ids-1.img"].Data = got["ids-1.img"]
		again, err := Share(dir, []topology.Type{topology.User})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, again); diff != "" {
			t.Errorf("(-once +twice)\n%s", diff)
		}
	})
}
