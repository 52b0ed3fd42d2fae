package vm

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWriteCPIO(t *testing.T) {
	var got bytes.Buffer
	err := writeCPIO(&got, []File{
		{Path: "/a/b", Data: []byte("hello"), Mode: 0o600},
		{Path: "/c", Link: "a/b"},
	})
	if err != nil {
		t.Fatal(err)
	}
	entry := func(ino, mode, size, namesize, name string) string {
		const zero = "00000000"
		return "070701" + ino + mode + zero + zero + "00000001" + zero + size + zero + zero + zero + zero + namesize + zero + name
	}
	want := entry("00000001", "000041ED", "00000000", "00000002", "a\x00") +
		entry("00000002", "00008180", "00000005", "00000004", "a/b\x00\x00\x00") + "hello\x00\x00\x00" +
		entry("00000003", "0000A1FF", "00000003", "00000002", "c\x00") + "a/b\x00" +
		entry("00000004", "00000000", "00000000", "0000000B", "TRAILER!!!\x00\x00\x00\x00")
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("archive (-want +got):\n%s", diff)
	}
}
