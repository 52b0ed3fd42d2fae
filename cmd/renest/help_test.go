package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
)

// TestHelpWidth: on a terminal of eighty columns no help is wider, and what is laid out
// by hand need not be broken.
func TestHelpWidth(t *testing.T) {
	t.Setenv("COLUMNS", "80")
	var check func(path string, list []*cli.Command)
	check = func(path string, list []*cli.Command) {
		for _, c := range list {
			got := renest(t, nil, strings.Fields("help "+path+c.Name)...)
			for line := range strings.Lines(got.Stdout) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
					t.Errorf("%s%s: %d columns: %s", path, c.Name, n, line)
				}
			}
			if !strings.HasPrefix(got.Stdout, "NAME:\n   renest "+path+c.Name+" - ") {
				t.Errorf("%s%s: %s", path, c.Name, got.Stdout)
			}
			for line := range strings.SplitSeq(c.Description, "\n") {
				if line != "" && !strings.Contains(got.Stdout, " "+line+"\n") {
					t.Errorf("%s%s: broken: %s", path, c.Name, line)
				}
			}
			check(path+c.Name+" ", c.Subcommands)
		}
	}
	check("", newApp(streams{}).Commands)
}

// TestHang: lines are broken at blanks, and go on where their last column began.
func TestHang(t *testing.T) {
	for _, tt := range []struct {
		line, want string
		width      int
	}{
		{"   a word", "   a word", 80},
		{"   --all, -a  draw each of many that are alike", "   --all, -a  draw each of many that are\n              alike", 44},
		{"   renest list [--type net] [--json]", "   renest list\n      [--type net]\n      [--json]", 18},
		{"   one-very-long-word and more", "   one-very-long-word and more", 10},
		{"   --äöü  ÄÖÜ ÄÖÜ ÄÖÜ", "   --äöü  ÄÖÜ ÄÖÜ ÄÖÜ", 21},
		{"   as wide as it is", "   as wide as it is", -1},
	} {
		if got := hang(tt.line, tt.width); got != tt.want {
			t.Errorf("%d columns:\n%s\nwant\n%s", tt.width, got, tt.want)
		}
	}
}
