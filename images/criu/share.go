package criu

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/renest/renest/topology"
)

// Magics of the files that are changed here, criu/include/magic.h.
const (
	magicCommon    = 0x54564319
	magicInventory = 0x58313116
	magicIDs       = 0x54432030
)

// maxIDs bounds a file with the ids of one task, or with the inventory: a message of
// a dozen numbers, and one of a few strings.
const maxIDs = 64 << 10

// ErrFormat is returned, wrapped, for a file that is not what its name says.
var ErrFormat = errors.New("not a CRIU image as expected")

// Share returns how the files of a CRIU folder have to read so that CRIU restores its
// root task, and those that are where that is, in CRIU's own namespaces of the given
// types, instead of new ones: by file name. The folder is not changed.
//
// In a task's ids-N.img a namespace is a counter of the dump; one that is that of
// root_ids in the inventory is CRIU's own (get_clone_mask, criu/pstree.c).
func Share(dir fs.FS, types []topology.Type) (map[string][]byte, error) {
	root, err := rootIDs(dir)
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(dir, "ids-*.img")
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, name := range names {
		if strings.Trim(name[len("ids-"):len(name)-len(".img")], "0123456789") != "" {
			continue
		}
		if files[name], err = shareIDs(dir, name, root, types); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("the folder has no ids-N.img: %w", ErrFormat)
	}
	return files, nil
}

// rootIDs reads the ids of CRIU's own namespaces: root_ids, field 3 of the inventory.
func rootIDs(dir fs.FS) (map[protowire.Number]uint64, error) {
	b, err := readBounded(dir, "inventory.img")
	if err != nil {
		return nil, err
	}
	entry, err := onlyEntry(b, magicInventory)
	if err != nil {
		return nil, fmt.Errorf("inventory.img: %w", err)
	}
	ids := map[protowire.Number]uint64{}
	err = fields(entry, func(n protowire.Number, _, value []byte, _ uint64) error {
		if n != 3 {
			return nil
		}
		return fields(value, func(n protowire.Number, _, value []byte, v uint64) error {
			if value == nil {
				ids[n] = v
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("inventory.img: %w", err)
	}
	return ids, nil
}

// shareIDs returns a file of ids with those of types replaced.
func shareIDs(dir fs.FS, name string, root map[protowire.Number]uint64, types []topology.Type) ([]byte, error) {
	b, err := readBounded(dir, name)
	if err != nil {
		return nil, err
	}
	entry, err := onlyEntry(b, magicIDs)
	if err != nil {
		return nil, err
	}
	shared := map[protowire.Number]bool{}
	for _, t := range types {
		f := idField(t)
		if _, ok := root[f]; !ok {
			return nil, fmt.Errorf("the inventory does not know CRIU's own %s namespace: %w", t, ErrFormat)
		}
		shared[f] = true
	}
	out := binary.LittleEndian.AppendUint32(nil, magicCommon)
	out = binary.LittleEndian.AppendUint32(out, magicIDs)
	out = append(out, 0, 0, 0, 0)
	err = fields(entry, func(n protowire.Number, raw, _ []byte, _ uint64) error {
		if !shared[n] {
			out = append(out, raw...)
			return nil
		}
		out = protowire.AppendTag(out, n, protowire.VarintType)
		out = protowire.AppendVarint(out, root[n])
		return nil
	})
	binary.LittleEndian.PutUint32(out[8:], uint32(len(out)-12))
	return out, err
}

// idField is a type's field of task_kobj_ids_entry, images/core.proto.
func idField(t topology.Type) protowire.Number {
	return map[topology.Type]protowire.Number{
		topology.PID: 5, topology.Net: 6, topology.IPC: 7, topology.UTS: 8,
		topology.Mnt: 9, topology.User: 10, topology.Cgroup: 11, topology.Time: 12,
	}[t]
}

func readBounded(dir fs.FS, name string) ([]byte, error) { return readUpTo(dir, name, maxIDs) }

// onlyEntry returns the message of a file that has one. The inventory has no common
// magic before its own.
func onlyEntry(b []byte, magic uint32) ([]byte, error) {
	want := binary.LittleEndian.AppendUint32(nil, magicCommon)
	if magic == magicInventory {
		want = nil
	}
	want = binary.LittleEndian.AppendUint32(want, magic)
	rest, ok := strings.CutPrefix(string(b), string(want))
	if !ok || len(rest) < 4 {
		return nil, fmt.Errorf("wrong magic: %w", ErrFormat)
	}
	size := binary.LittleEndian.Uint32([]byte(rest))
	if uint64(size) != uint64(len(rest)-4) {
		return nil, fmt.Errorf("an entry of %d bytes in a file with %d left: %w", size, len(rest)-4, ErrFormat)
	}
	return []byte(rest[4:]), nil
}

// fields calls yield with each field of a message: as it stands, and its bytes, or
// nil and its number.
func fields(b []byte, yield func(n protowire.Number, raw, value []byte, v uint64) error) error {
	for len(b) > 0 {
		n, typ, k := protowire.ConsumeTag(b)
		if k < 0 {
			return fmt.Errorf("%w: %w", ErrFormat, protowire.ParseError(k))
		}
		size := protowire.ConsumeFieldValue(n, typ, b[k:])
		if size < 0 {
			return fmt.Errorf("%w: %w", ErrFormat, protowire.ParseError(size))
		}
		var value []byte
		var v uint64
		switch typ {
		case protowire.BytesType:
			value, _ = protowire.ConsumeBytes(b[k:])
			value = value[:len(value):len(value)]
		case protowire.VarintType:
			v, _ = protowire.ConsumeVarint(b[k:])
		}
		if err := yield(n, b[:k+size], value, v); err != nil {
			return err
		}
		b = b[k+size:]
	}
	return nil
}
