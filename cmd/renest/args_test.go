package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"
)

func TestPermute(t *testing.T) {
	app := &cli.App{Flags: []cli.Flag{&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}}}, Commands: []*cli.Command{{
		Name:    "show",
		Aliases: []string{"s"},
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}},
			&cli.GenericFlag{Name: "t", Value: new(taskValue)},
		},
	}}}
	tests := map[string]struct{ args, want string }{
		"nothing":              {"renest", "renest"},
		"flags first":          {"renest show --json x", "renest show --json -- x"},
		"flags last":           {"renest show x --json", "renest show --json -- x"},
		"by another name":      {"renest s x --json", "renest s --json -- x"},
		"value":                {"renest show x -o y z", "renest show -o y -- x z"},
		"value glued":          {"renest show x -o=y z", "renest show -o=y -- x z"},
		"two dashes":           {"renest show x --o y z", "renest show --o y -- x z"},
		"value like a flag":    {"renest show x -t -1 z", "renest show -t -1 -- x z"},
		"value missing":        {"renest show x -o", "renest show -o"},
		"value is dashes":      {"renest show -o -- x", "renest show -o -- -- x"},
		"standard input":       {"renest show - --json", "renest show --json -- -"},
		"standard output":      {"renest show x -o -", "renest show -o - -- x"},
		"unknown":              {"renest show x --what y", "renest show --what -- x y"},
		"command line":         {"renest show x --json -- sh -c --json -- y", "renest show --json -- x -- sh -c --json -- y"},
		"command line alone":   {"renest show -- sh -o x", "renest show -- -- sh -o x"},
		"global flag":          {"renest --help show x --json", "renest --help show --json -- x"},
		"global flag behind":   {"renest show x --json -q", "renest -q show --json -- x"},
		"not a global flag":    {"renest show x -- sh -q", "renest show -- x -- sh -q"},
		"unknown command":      {"renest shop x --json", "renest shop x --json"},
		"dashes for a command": {"renest -- show x --json", "renest -- show x --json"},
		"completion":           {"renest show x --json " + completionFlag, "renest show x --json " + completionFlag},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := permute(app, strings.Fields(tt.args))
			if diff := cmp.Diff(strings.Fields(tt.want), got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
