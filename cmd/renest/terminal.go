package main

import (
	"errors"
	"io"
	"os"
	"strconv"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"
)

// colorFlag is for what prints in colours.
func colorFlag() cli.Flag {
	return &cli.GenericFlag{
		Name: "color", Aliases: []string{"colour"}, Value: new(whenValue),
		Usage: "colour the output `WHEN`: auto (on a terminal, unless NO_COLOR is set), always or never",
	}
}

// whenValue is a flag's answer to when.
type whenValue string

func (v *whenValue) Set(s string) error {
	switch s {
	case "auto", "always", "never":
		*v = whenValue(s)
		return nil
	}
	return errors.New("neither auto, always nor never")
}

func (v *whenValue) String() string {
	if v == nil || *v == "" {
		return "auto"
	}
	return string(*v)
}

// inColor reports whether the output of a command with colorFlag is coloured:
// see no-color.org for the variable.
func inColor(c *cli.Context) bool {
	switch c.Generic("color").(*whenValue).String() {
	case "always":
		return true
	case "never":
		return false
	}
	_, ok := terminal(c.App.Writer)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// width returns how many columns a line may have; -1 is any number, as where
// the output goes to a file or a program.
func width(w io.Writer) int {
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	if fd, ok := terminal(w); ok {
		if n, _, err := term.GetSize(fd); err == nil && n > 0 {
			return n
		}
		return 80
	}
	return -1
}

// terminal returns the descriptor of w if it is a terminal.
func terminal(w io.Writer) (int, bool) {
	f, ok := w.(*os.File)
	if !ok {
		return 0, false
	}
	fd := int(f.Fd())
	return fd, term.IsTerminal(fd)
}
