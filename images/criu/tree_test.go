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

// message is a protobuf message of numbers and strings, in the order given.
func message(pairs ...any) []byte {
	var b []byte
	for i := 0; i < len(pairs); i += 2 {
		n := protowire.Number(pairs[i].(int))
		switch v := pairs[i+1].(type) {
		case int:
			b = protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), uint64(v))
		case string:
			b = protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), v)
		case []byte:
			b = protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
		}
	}
	return b
}

// fileOf is a file of CRIU's.
func fileOf(magic uint32, messages ...[]byte) *fstest.MapFile {
	var b []byte
	if magic != magicInventory {
		b = binary.LittleEndian.AppendUint32(b, magicCommon)
	}
	b = binary.LittleEndian.AppendUint32(b, magic)
	for _, m := range messages {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(m)))
		b = append(b, m...)
	}
	return &fstest.MapFile{Data: b, Mode: 0o644}
}

// sample is a folder with an init in namespaces of its own and its child.
func sample() fstest.MapFS {
	own := message(5, 1, 6, 2, 7, 3, 8, 4, 9, 5, 10, 6)
	in := message(1, 9, 5, 11, 6, 12, 7, 3, 8, 14, 9, 15, 10, 16)
	core := func(name string) []byte { return message(1, 1, 3, message(1, 1, 6, name)) }
	return fstest.MapFS{
		"inventory.img": fileOf(magicInventory, message(1, 2, 3, own)),
		"pstree.img":    fileOf(magicPSTree, message(1, 1, 2, 0, 3, 1, 4, 1, 5, 1), message(1, 7, 2, 1, 3, 1, 4, 1, 5, 7, 5, 8)),
		"ids-1.img":     fileOf(magicIDs, in),
		"ids-7.img":     fileOf(magicIDs, in),
		"core-1.img":    fileOf(magicCore, core("init")),
		"core-7.img":    fileOf(magicCore, core("sleep")),
		"userns-16.img": fileOf(magicUserNS, message(1, message(1, 0, 2, 100000, 3, 10), 2, message(1, 0, 2, 100000, 3, 10))),
		"utsns-14.img":  fileOf(magicUTSNS, message(1, "box", 2, "(none)")),
	}
}

func TestReadTree(t *testing.T) {
	got, err := ReadTree(sample())
	if err != nil {
		t.Fatal(err)
	}
	in := map[topology.Type]uint32{
		topology.PID: 11, topology.Net: 12, topology.IPC: 3, topology.UTS: 14, topology.Mnt: 15, topology.User: 16,
	}
	ids := []topology.Extent{{Outside: 100000, Count: 10}}
	want := &Tree{
		Tasks: []Task{{PID: 1, Threads: 1, Comm: "init", IDs: in}, {PID: 7, PPID: 1, Threads: 2, Comm: "sleep", IDs: in}},
		Own: map[topology.Type]uint32{
			topology.PID: 1, topology.Net: 2, topology.IPC: 3, topology.UTS: 4, topology.Mnt: 5, topology.User: 6,
		},
		User: map[uint32]*topology.UserState{16: {UIDMap: ids, GIDMap: ids}},
		UTS:  map[uint32]*topology.UTSState{14: {NodeName: "box", DomainName: "(none)"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Hostile and broken folders are refused.
func TestReadTreeRefuses(t *testing.T) {
	huge := fileOf(magicPSTree)
	huge.Data = append(huge.Data, 0xff, 0xff, 0xff, 0xff, 0)
	for _, test := range []struct {
		name, file string
		with       *fstest.MapFile
		want       error
	}{
		{"no tree", "pstree.img", nil, fs.ErrNotExist},
		{"no core", "core-7.img", nil, fs.ErrNotExist},
		{"no inventory", "inventory.img", nil, fs.ErrNotExist},
		{"wrong magic", "pstree.img", fileOf(magicIDs), ErrFormat},
		{"4 GiB", "pstree.img", huge, ErrFormat},
		{"cyclic parents", "pstree.img", fileOf(magicPSTree, message(1, 1, 2, 0), message(1, 7, 2, 9), message(1, 9, 2, 7)), ErrFormat},
		{"own parent", "pstree.img", fileOf(magicPSTree, message(1, 1, 2, 1)), ErrFormat},
		{"two roots", "pstree.img", fileOf(magicPSTree, message(1, 1, 2, 0), message(1, 7, 2, 0)), ErrFormat},
		{"twice", "pstree.img", fileOf(magicPSTree, message(1, 1, 2, 0), message(1, 1, 2, 1)), ErrFormat},
		{"pid too large", "pstree.img", fileOf(magicPSTree, message(1, 1<<40, 2, 0)), ErrFormat},
		{"a pipe", "ids-1.img", &fstest.MapFile{Mode: fs.ModeNamedPipe}, ErrFormat},
		{"long name", "utsns-14.img", fileOf(magicUTSNS, message(1, string(make([]byte, 65)))), ErrFormat},
		{"cut short", "ids-7.img", &fstest.MapFile{Data: []byte{0x19, 0x43}}, ErrFormat},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := sample()
			delete(dir, test.file)
			if test.with != nil {
				dir[test.file] = test.with
			}
			if _, err := ReadTree(dir); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

// What CRIU tells by itself makes a graph that agrees with it, until it is changed.
func TestJoin(t *testing.T) {
	tree, err := ReadTree(sample())
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		change func(g *topology.Graph)
		want   []string
	}{
		{"agree", func(*topology.Graph) {}, nil},
		{"fewer tasks", func(g *topology.Graph) { g.Tasks = g.Tasks[:1] }, []string{"CRIU's task 7 (sleep) is not in the topology"}},
		{"more tasks", func(g *topology.Graph) {
			g.Tasks = append(g.Tasks, &topology.Task{PID: 9, TID: 9, NSPID: []int{9}, Comm: "more"})
		}, []string{"pid 9 (more) is not among CRIU's tasks"}},
		{"an init above", func(g *topology.Graph) {
			outer := &topology.Namespace{Type: topology.PID, Ino: 98}
			g.Tasks[0].Namespaces[topology.InPID].Parent = outer
			init := &topology.Task{PID: 9, TID: 9, NSPID: []int{9}, Comm: "init"}
			init.Namespaces[topology.InPID] = outer
			g.Tasks = append(g.Tasks, init)
		}, nil},
		{"not shared", func(g *topology.Graph) {
			g.Tasks[1].Namespaces[topology.InNet] = &topology.Namespace{Type: topology.Net, Ino: 99}
		}, []string{"pid 7 is in net:[99], and to CRIU in what is net:[12]"}},
		{"renamed", func(g *topology.Graph) {
			g.Tasks[0].Namespaces[topology.InUTS].UTS = &topology.UTSState{NodeName: "other"}
		}, []string{`uts:[14] has the name "other", and "box" to CRIU`}},
		{"no root", func(g *topology.Graph) { g.Tasks = g.Tasks[1:] }, []string{
			"pid 1, the root of CRIU's tasks, is not in the topology", "pid 7 (sleep) is not among CRIU's tasks",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := tree.Graph()
			test.change(g)
			if diff := cmp.Diff(test.want, Join(g, []Part{{Tree: tree, PID: 1}})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestJoinApart has a task in a UTS namespace that CRIU was not shown.
func TestJoinApart(t *testing.T) {
	tree, err := ReadTree(sample())
	if err != nil {
		t.Fatal(err)
	}
	g := tree.Graph()
	g.Tasks[1].Namespaces[topology.InUTS] = &topology.Namespace{Type: topology.UTS, Ino: 99}
	for _, test := range []struct {
		name  string
		apart []topology.Type
		want  []string
	}{
		{"hidden", []topology.Type{topology.UTS}, nil},
		{"not hidden", []topology.Type{topology.IPC}, []string{"pid 7 is in uts:[99], and to CRIU in what is uts:[14]"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, Join(g, []Part{{tree, 1, test.apart}})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzReadTree(f *testing.F) {
	for name, file := range sample() {
		f.Add(name, file.Data)
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		if !fs.ValidPath(name) {
			return
		}
		dir := sample()
		dir[name] = &fstest.MapFile{Data: data, Mode: 0o644}
		tree, err := ReadTree(dir)
		if err == nil {
			Join(tree.Graph(), []Part{{Tree: tree, PID: 1}})
		}
	})
}
