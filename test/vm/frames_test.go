package vm

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadFrames(t *testing.T) {
	ran := Result{
		Commands: []CommandResult{{Output: "ab", Stdout: "b", Stderr: "a", Code: 3}, {Code: -1, Why: "never ran"}},
		Files:    map[string][]byte{"/f": []byte("xy")},
	}
	const frames = `{"Booted":{}}
{"Output":{"Command":0,"Stderr":true,"Data":"YQ=="}}
{"Output":{"Command":0,"Data":"Yg=="}}
{"Exit":{"Command":0,"Code":3}}
{"File":{"Path":"/f","Data":"eA=="}}
{"File":{"Path":"/f","Data":"eQ=="}}
{"File":{"Path":"/f","Data":""}}
`
	none := Result{
		Commands: []CommandResult{{Code: -1, Why: "never ran"}, {Code: -1, Why: "never ran"}},
		Files:    map[string][]byte{},
	}
	for _, tt := range []struct {
		name, in string
		want     Result
		err      string
	}{
		{name: "whole", in: frames + `{"Done":{"Commands":2}}`, want: ran},
		{name: "cut short", in: frames, want: ran, err: ErrCutShort.Error()},
		{name: "no boot", in: "", want: none, err: errNoBoot.Error()},
		{name: "cut within", in: frames + `{"Done":`, want: ran, err: "frames of init: unexpected EOF"},
		{name: "init failed", in: frames + `{"Error":"no port"}`, want: ran, err: "init: no port"},
		{name: "no such command", in: `{"Exit":{"Command":2}}`, want: none, err: "frames of init: exit of command 2 of 2"},
		{name: "kernel log", in: "<6>panic", want: none, err: "frames of init: invalid character"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readFrames(strings.NewReader(tt.in), 2)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			if tt.name == "cut short" && !errors.Is(err, ErrCutShort) {
				t.Errorf("error %v is not ErrCutShort", err)
			}
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
		})
	}
}
