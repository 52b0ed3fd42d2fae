package criu

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestConfig(t *testing.T) {
	tests := map[string]struct {
		args []string
		want []string
		bad  bool
	}{
		"none":          {},
		"flag":          {args: []string{"--tcp-close"}, want: []string{"tcp-close"}},
		"value":         {args: []string{"--ghost-limit", "1M", "--shell-job"}, want: []string{"ghost-limit 1M", "shell-job"}},
		"value glued":   {args: []string{"--ghost-limit=1M"}, want: []string{"ghost-limit 1M"}},
		"equals inside": {args: []string{"--external", "mnt[/a]:b=c"}, want: []string{"external mnt[/a]:b=c"}},
		"quoted":        {args: []string{"--external", "mnt[/a b]:c"}, want: []string{`external "mnt[/a b]:c"`}},
		"comment sign":  {args: []string{"--external=file[#1]"}, want: []string{`external "file[#1]"`}},
		"empty value":   {args: []string{"--lsm-profile="}, want: []string{`lsm-profile ""`}},
		"short":         {args: []string{"-v4"}, bad: true},
		"no option":     {args: []string{"tcp-close"}, bad: true},
		"dashes":        {args: []string{"--"}, bad: true},
		"two lines":     {args: []string{"--external=a\nroot /"}, bad: true},
		"name in lines": {args: []string{"--a\nroot"}, bad: true},
		"quote":         {args: []string{`--external=a"b`}, bad: true},
		"renest's own":  {args: []string{"--root", "/x"}, bad: true},
		"a script":      {args: []string{"--action-script=/x"}, bad: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Config(tt.args)
			if (err != nil) != tt.bad {
				t.Fatalf("error %v, want one: %v", err, tt.bad)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" && !tt.bad {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
