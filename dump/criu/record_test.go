package criu

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestRecord(t *testing.T) {
	want := &Record{Version: 1, CRIU: 40300, Layers: []LayerRecord{
		{Dir: "layer-0", PID: 7, Root: "/srv/a", External: []External{{"net-1", "net:[1]"}}},
		{Dir: "layer-1", PID: 9},
	}}
	b, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeRecord(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestRecordRefused(t *testing.T) {
	tests := map[string]string{
		"nothing":       ``,
		"no object":     `[]`,
		"other version": `{"version": 2, "layers": [{"dir": ".", "pid": 1}]}`,
		"no layer":      `{"version": 1}`,
		"many layers":   `{"version": 1, "layers": [` + strings.Repeat(`{"dir": ".", "pid": 1},`, 40) + `{"dir": ".", "pid": 1}]}`,
		"up":            `{"version": 1, "layers": [{"dir": "..", "pid": 1}]}`,
		"elsewhere":     `{"version": 1, "layers": [{"dir": "/etc", "pid": 1}]}`,
		"below":         `{"version": 1, "layers": [{"dir": "a/b", "pid": 1}]}`,
		"no folder":     `{"version": 1, "layers": [{"pid": 1}]}`,
		"twice":         `{"version": 1, "layers": [{"dir": ".", "pid": 1}, {"dir": ".", "pid": 2}]}`,
		"no pid":        `{"version": 1, "layers": [{"dir": "."}]}`,
		"relative root": `{"version": 1, "layers": [{"dir": ".", "pid": 1, "root": "etc"}]}`,
		"parent":        `{"version": 1, "layers": [{"dir": ".", "pid": 2, "parent": 1}]}`,
		"nul":           `{"version": 1, "layers": [{"dir": ".", "pid": 1, "root": "/\u0000"}]}`,
		"long":          `{"version": 1, "x": "` + strings.Repeat("x", maxRecord) + `"}`,
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			if r, err := DecodeRecord(strings.NewReader(text)); err == nil {
				t.Errorf("accepted as %+v", r)
			}
		})
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"version": 1, "criu": 40300, "layers": [{"dir": ".", "pid": 1, "root": "/", "external": [{"label": "a", "namespace": "net:[1]"}]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeRecord(bytes.NewReader(b))
		if err != nil {
			return
		}
		again, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		twice, err := DecodeRecord(bytes.NewReader(again))
		if err != nil {
			t.Fatalf("%q: %v", again, err)
		}
		if diff := cmp.Diff(r, twice, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("(-once +twice)\n%s", diff)
		}
	})
}
