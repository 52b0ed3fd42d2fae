package main

import (
	"io"

	"github.com/urfave/cli/v2"
)

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
			page, err := newApp(streams{}).ToManWithSection(1) // not one that has run, with the library's help in it
			if err != nil {
				return err
			}
			_, err = io.WriteString(c.App.Writer, page)
			return err
		},
	}
}
