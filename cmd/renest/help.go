package main

import (
	"slices"

	"github.com/urfave/cli/v2"
)

// helpCommand takes the place of the library's, which knows no commands below
// commands.
func helpCommand() *cli.Command {
	return &cli.Command{
		Name:      "help",
		Aliases:   []string{"h"},
		Usage:     "show the help of a command, or of renest",
		UsageText: "renest help [COMMAND]",
		Action: func(c *cli.Context) error {
			args := slices.Concat([]string{c.App.Name}, operands(c), []string{"--help"})
			return run(c.Context, args, streams{c.App.Reader, c.App.Writer, c.App.ErrWriter})
		},
	}
}
