package main

import (
	"strings"

	"github.com/urfave/cli/v2"
)

// examples has what the help of each command shows of its use.
var examples = map[string]string{
	"list":         "renest list --type net,user\nrenest list --owner self --json\nrenest list --outline --limit 100 --after 4315118",
	"tree":         "renest tree\nrenest tree live:4711 --format dot | dot -Tsvg >tree.svg",
	"dump":         "renest dump -t 4711 -o box.img\nrenest dump --all -o - | ssh desk renest show -",
	"show":         "renest show box.img\nrenest show checkpoint-dir\nrenest show --json box.img | jq '.namespaces[].name'",
	"diff":         "renest diff monday.img tuesday.img\nrenest diff box.img live --ignore time && echo as it was",
	"check":        "renest check -t 4711",
	"hook":         "renest hook --install --mode warn\ncriu dump -t 4711 -D box.d --action-script $(command -v renest)",
	"caps":         "renest caps 4711 net:[4026532181]",
	"who":          "renest who 4711/net --cap CAP_NET_ADMIN",
	"why":          "renest why net:[4026532181]",
	"restore":      "renest restore --dry-run box.img\nrenest restore -d --name box box.img",
	"ps":           "renest ps",
	"enter":        "renest enter box -- ip -br link\nrenest enter 4711/net",
	"watch":        "renest watch\nrenest watch live:4711 --interval 200ms --json",
	"rm":           "renest rm box",
	"criu dump":    "renest criu dump -t 4711 -D box.d",
	"criu restore": "renest criu restore -D box.d",
	"help":         "renest help restore\nrenest help criu dump",
	"completion":   "source <(renest completion bash)\nrenest completion fish | source",
	"schema":       "renest schema diff",
	"demo":         "renest demo",
}

// exemplify puts its examples into the help of a command, and of those below it.
func exemplify(c *cli.Command, path string) {
	sparing(c.Flags)
	for _, sub := range c.Subcommands {
		exemplify(sub, path+sub.Name+" ")
	}
	text, ok := examples[strings.TrimSpace(path)]
	if !ok {
		return
	}
	if c.Description != "" {
		c.Description += "\n\n"
	}
	c.Description += "For example:\n\n   " + strings.ReplaceAll(text, "\n", "\n   ")
}
