package main

import (
	_ "embed" // the page around the commands
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

// manTemplate is what is not told by the commands themselves.
//
//go:embed renest.1.md
var manTemplate string

// manCommand is for those who make packages.
func manCommand() *cli.Command {
	return &cli.Command{
		Name:   "man",
		Usage:  "print the manual page",
		Hidden: true,
		Action: func(c *cli.Context) error {
			if err := noMore(c, 0); err != nil {
				return err
			}
			page, err := manual()
			if err != nil {
				return err
			}
			_, err = io.WriteString(c.App.Writer, page)
			return err
		},
	}
}

// manual returns the page. The library leaves out what a command's help says beyond
// its usage, and takes [--json] (as below) for a link, but leaves alone what has
// several lines.
func manual() (string, error) {
	app := newApp(streams{}) // not one that has run, with the library's help in it
	var tell func([]*cli.Command)
	tell = func(list []*cli.Command) {
		for _, c := range list {
			c.UsageText = strings.TrimSpace(c.UsageText) + "\n\n" + c.Description
			tell(c.Subcommands)
		}
	}
	tell(app.Commands)
	cli.MarkdownDocTemplate = manTemplate
	page, err := app.ToManWithSection(1)
	// There is no other way to say what a flag's value is called than this.
	return strings.ReplaceAll(page, `="": `, "=VALUE: "), err
}
