package criu

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/renest/renest/topology"
)

// More magics, criu/include/magic.h.
const (
	magicPSTree = 0x50273030
	magicCore   = 0x55053847
	magicUserNS = 0x55474906
	magicUTSNS  = 0x54473203
)

// What a folder may hold: more tasks than Linux can have, and the largest of what is
// written of one.
const (
	maxTasks = 4 << 20
	maxFile  = 256 << 20 // pstree.img: all tasks and their threads
	maxCore  = 4 << 20   // core-N.img: registers, of the first thread
)

// Tree is what CRIU's images say of tasks and namespaces.
type Tree struct {
	Tasks []Task // parents first, as in pstree.img
	// Own are the numbers of CRIU's own namespaces, which are not dumped.
	Own map[topology.Type]uint32
	// User and UTS are what those namespaces hold, by number. The maps of a user
	// namespace are as CRIU saw them.
	User map[uint32]*topology.UserState
	UTS  map[uint32]*topology.UTSState
}

// Task is a process. Its numbers are those in the root task's pid namespace.
type Task struct {
	PID, PPID int // PPID is 0 of the root task
	Threads   int
	Comm      string // empty where not saved
	// IDs are the namespaces that it is in: numbers of the dump, which the kernel
	// does not know. Nil of a zombie.
	IDs map[topology.Type]uint32
}

// ReadTree reads a folder of CRIU's images. It may be anyone's: sizes are bounded,
// and parents are there.
func ReadTree(dir fs.FS) (*Tree, error) {
	own, err := rootIDs(dir)
	if err != nil {
		return nil, err
	}
	t := &Tree{User: map[uint32]*topology.UserState{}, UTS: map[uint32]*topology.UTSState{}}
	if len(own) > 0 {
		t.Own = byType(own)
	}
	if err := t.readTasks(dir); err != nil {
		return nil, fmt.Errorf("pstree.img: %w", err)
	}
	for i := range t.Tasks {
		if err := t.Tasks[i].readSelf(dir); err != nil {
			return nil, fmt.Errorf("task %d: %w", t.Tasks[i].PID, err)
		}
	}
	return t, t.readNamespaces(dir)
}

// readTasks reads pstree.img. CRIU writes a parent before its children, so that
// there can be no circle.
func (t *Tree) readTasks(dir fs.FS) error {
	b, err := readUpTo(dir, "pstree.img", maxFile)
	if err != nil {
		return err
	}
	known := map[int]bool{}
	return entries(b, magicPSTree, func(entry []byte) error {
		if len(t.Tasks) == maxTasks {
			return fmt.Errorf("more than %d tasks: %w", maxTasks, ErrFormat)
		}
		var task Task
		err := fields(entry, func(n protowire.Number, _, value []byte, v uint64) error {
			switch {
			case n == 1 && v <= maxTasks:
				task.PID = int(v)
			case n == 2 && v <= maxTasks:
				task.PPID = int(v)
			case n == 1 || n == 2:
				return fmt.Errorf("pid %d: %w", v, ErrFormat)
			case n == 5 && value == nil:
				task.Threads++
			case n == 5: // packed
				for ; len(value) > 0; task.Threads++ {
					_, k := protowire.ConsumeVarint(value)
					if k < 0 {
						return fmt.Errorf("threads: %w", ErrFormat)
					}
					value = value[k:]
				}
			}
			return nil
		})
		switch {
		case err != nil:
			return err
		case task.PID == 0 || known[task.PID]:
			return fmt.Errorf("task %d without a number of its own: %w", task.PID, ErrFormat)
		case len(t.Tasks) == 0 && task.PPID != 0, len(t.Tasks) > 0 && !known[task.PPID]:
			return fmt.Errorf("task %d: its parent %d does not come before it: %w", task.PID, task.PPID, ErrFormat)
		}
		known[task.PID] = true
		t.Tasks = append(t.Tasks, task)
		return nil
	})
}

// readSelf reads a task's name and its namespaces. A zombie has no ids-N.img.
func (t *Task) readSelf(dir fs.FS) error {
	name := "ids-" + strconv.Itoa(t.PID) + ".img"
	b, err := readBounded(dir, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		entry, err := onlyEntry(b, magicIDs)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		ids, err := numbers(entry)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		t.IDs = byType(ids)
	}
	name = "core-" + strconv.Itoa(t.PID) + ".img"
	b, err = readUpTo(dir, name, maxCore)
	if err != nil {
		return err
	}
	found := errors.New("found") // the first entry has it
	err = entries(b, magicCore, func(entry []byte) error {
		err := inside(entry, 3, func(n protowire.Number, _, value []byte, _ uint64) error { // task_core_entry
			if n == 6 && len(value) <= 64 {
				t.Comm = string(value)
			}
			return nil
		})
		return errors.Join(err, found)
	})
	if err != nil && !errors.Is(err, found) || errors.Is(err, ErrFormat) {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// readNamespaces reads what the namespaces of the tasks hold, where CRIU saved it.
func (t *Tree) readNamespaces(dir fs.FS) error {
	for i := range t.Tasks {
		ids := t.Tasks[i].IDs
		if id := ids[topology.User]; id != 0 && id != t.Own[topology.User] && t.User[id] == nil {
			u := &topology.UserState{}
			err := state(dir, fmt.Sprintf("userns-%d.img", id), magicUserNS, func(n protowire.Number, _, value []byte, _ uint64) error {
				e, err := extent(value)
				switch n {
				case 1:
					u.UIDMap = append(u.UIDMap, e)
				case 2:
					u.GIDMap = append(u.GIDMap, e)
				}
				if len(u.UIDMap) > topology.MaxExtents || len(u.GIDMap) > topology.MaxExtents {
					return fmt.Errorf("more extents than an id map has: %w", ErrFormat)
				}
				return err
			})
			if err != nil {
				return err
			}
			t.User[id] = u
		}
		if id := ids[topology.UTS]; id != 0 && id != t.Own[topology.UTS] && t.UTS[id] == nil {
			u := &topology.UTSState{}
			err := state(dir, fmt.Sprintf("utsns-%d.img", id), magicUTSNS, func(n protowire.Number, _, value []byte, _ uint64) error {
				switch {
				case len(value) > topology.MaxUTSName:
					return fmt.Errorf("a name of %d bytes: %w", len(value), ErrFormat)
				case n == 1:
					u.NodeName = string(value)
				case n == 2:
					u.DomainName = string(value)
				}
				return nil
			})
			if err != nil {
				return err
			}
			t.UTS[id] = u
		}
	}
	return nil
}

// state reads a namespace's image. One that is not there says nothing: a namespace
// that was external has none.
func state(dir fs.FS, name string, magic uint32, yield func(protowire.Number, []byte, []byte, uint64) error) error {
	b, err := readBounded(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		var entry []byte
		if entry, err = onlyEntry(b, magic); err == nil {
			err = fields(entry, yield)
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// extent reads a uid_gid_extent, images/userns.proto.
func extent(b []byte) (topology.Extent, error) {
	var e topology.Extent
	err := fields(b, func(n protowire.Number, _, _ []byte, v uint64) error {
		switch n {
		case 1:
			e.Inside = uint32(v)
		case 2:
			e.Outside = uint32(v)
		case 3:
			e.Count = uint32(v)
		}
		return nil
	})
	return e, err
}

// numbers reads the numbers of a message by field.
func numbers(entry []byte) (map[protowire.Number]uint64, error) {
	ids := map[protowire.Number]uint64{}
	err := fields(entry, func(n protowire.Number, _, value []byte, v uint64) error {
		if value == nil {
			ids[n] = v
		}
		return nil
	})
	return ids, err
}

func byType(ids map[protowire.Number]uint64) map[topology.Type]uint32 {
	out := map[topology.Type]uint32{}
	for _, t := range topology.Types {
		if id, ok := ids[idField(t)]; ok {
			out[t] = uint32(id)
		}
	}
	return out
}

// inside calls yield with the fields of the message that is field number of another.
func inside(entry []byte, number protowire.Number, yield func(protowire.Number, []byte, []byte, uint64) error) error {
	return fields(entry, func(n protowire.Number, _, value []byte, _ uint64) error {
		if n != number {
			return nil
		}
		return fields(value, yield)
	})
}

// entries calls yield with each message of a file.
func entries(b []byte, magic uint32, yield func(entry []byte) error) error {
	want := binary.LittleEndian.AppendUint32(nil, magicCommon)
	want = binary.LittleEndian.AppendUint32(want, magic)
	if len(b) < len(want) || !slices.Equal(b[:len(want)], want) {
		return fmt.Errorf("wrong magic: %w", ErrFormat)
	}
	for b = b[len(want):]; len(b) > 0; {
		if len(b) < 4 {
			return fmt.Errorf("cut short: %w", ErrFormat)
		}
		size := binary.LittleEndian.Uint32(b)
		if b = b[4:]; uint64(size) > uint64(len(b)) {
			return fmt.Errorf("an entry of %d bytes in a file with %d left: %w", size, len(b), ErrFormat)
		}
		if err := yield(b[:size]); err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}

// readUpTo reads a file that is no longer than a bound, and no pipe, on which an
// open could wait for ever.
func readUpTo(dir fs.FS, name string, limit int64) ([]byte, error) {
	info, err := fs.Stat(dir, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file: %w", name, ErrFormat)
	}
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s: longer than %d bytes: %w", name, limit, ErrFormat)
	}
	return b, err
}
