package main

import (
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

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

// printHelp is cli.HelpPrinter, but for lines that are no wider than the terminal.
func printHelp(w io.Writer, text string, data any) {
	var b strings.Builder
	cli.HelpPrinterCustom(&b, text, data, nil)
	for line := range strings.Lines(b.String()) {
		_, _ = io.WriteString(w, hang(line, width(w))) // nobody to tell: as the library has it
	}
}

// inColumns is a line of which the rest stands in a column of its own.
var inColumns = regexp.MustCompile(`^ *\S+( \S+)*  +`)

// hang breaks a line at blanks, so that it is no wider than width, if that is not below
// zero. What goes on below stands where the last column began.
func hang(line string, width int) string {
	indent := len(line) - len(strings.TrimLeft(line, " ")) + 3
	if first := inColumns.FindString(line); first != "" && len(first) <= width-30 {
		indent = len(first)
	}
	var b strings.Builder
	for width >= 0 && utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > width {
		start := []rune(line)[:width+1]
		at := strings.LastIndexByte(string(start), ' ')
		if at <= indent {
			break // one long word
		}
		b.WriteString(strings.TrimRight(line[:at], " ") + "\n")
		line = strings.Repeat(" ", indent) + strings.TrimLeft(line[at:], " ")
	}
	return b.String() + line
}
