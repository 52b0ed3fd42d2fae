package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/renest/renest/topology"
)

// streams are the standard ones.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// run is renest without the process around it.
func run(ctx context.Context, args []string, std streams) error {
	if len(args) == 1 && os.Getenv(hookAction) != "" {
		return act(std.err) // CRIU runs this, and a tree may stand still until it ends
	}
	app := newApp(std)
	args = permute(app, args)
	app.Flags = append(app.Flags, cli.HelpFlag) // the library adds it where help is its own, too
	cli.HelpPrinter = printHelp
	err := app.RunContext(ctx, args)
	var coder cli.ExitCoder
	var ended *exec.ExitError // has the methods of a coder, too
	if errors.As(err, &coder) && !errors.As(err, &ended) {
		// The library's own: no such help topic.
		return usagef("%s, see renest --help", strings.Replace(err.Error(), "No ", "no ", 1))
	}
	return err
}

func newApp(std streams) *cli.App {
	app := &cli.App{
		Name:      "renest",
		Usage:     "checkpoint and restore nested Linux namespaces",
		UsageText: "renest [--quiet] [--verbose] COMMAND [OPTIONS] [ARGUMENTS]",
		Version:   version(),
		// What a newcomer is to do first.
		Description: "renest demo shows in a second what renest does, and renest help COMMAND how\n" +
			"each command is used.",
		Reader:    std.in,
		Writer:    std.out,
		ErrWriter: std.err,
		Commands: []*cli.Command{
			listCommand(),
			treeCommand(),
			dumpCommand(),
			showCommand(),
			diffCommand(),
			checkCommand(),
			hookCommand(),
			capsCommand(),
			whoCommand(),
			whyCommand(),
			restoreCommand(),
			psCommand(),
			enterCommand(),
			rmCommand(),
			criuCommand(),
			watchCommand(),
			demoCommand(),
			completionCommand(),
			schemaCommand(),
			manCommand(),
			helpCommand(),
		},
		Action:               noCommand,
		OnUsageError:         badUsage,
		ExitErrHandler:       func(*cli.Context, error) {}, // exit codes are report's
		EnableBashCompletion: true,
		HideHelpCommand:      false,
		// A path may have commas.
		DisableSliceFlagSeparator: true,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "no warnings: errors and results alone"},
			&cli.BoolFlag{Name: "verbose", Usage: "all that could not be seen, where a warning counts it"},
		},
	}
	sparing(app.Flags)
	for _, c := range app.Commands {
		c.OnUsageError = badUsage
		if c.Action == nil {
			c.Action = noCommand
		}
		completes(c)
		exemplify(c, c.Name+" ")
	}
	return app
}

// sparing keeps the help from saying of each switch that it is off by default.
func sparing(flags []cli.Flag) {
	for _, f := range flags {
		if b, ok := f.(*cli.BoolFlag); ok {
			b.DisableDefaultText = true
		}
	}
}

// badUsage makes a usage error of what the flag parser says.
func badUsage(c *cli.Context, err error, isSubcommand bool) error {
	text := parserFlag.ReplaceAllStringFunc(err.Error(), func(s string) string {
		m := parserFlag.FindStringSubmatch(s)
		return map[string]string{
			"flag provided but not defined:": "no flag ",
			"flag needs an argument:":        "a value is missing behind ",
			"for flag":                       "for ",
		}[m[1]] + dashed(m[2])
	})
	if kind := kindOfValue(c, text); kind != "" {
		text = strings.Replace(text, ": parse error", ": not "+kind, 1)
	}
	if isSubcommand {
		return usagef("%s: %s, see renest %s --help", c.Command.Name, text, c.Command.Name)
	}
	return usagef("%s, see renest --help", text)
}

// parserFlag is how package flag names a flag.
var parserFlag = regexp.MustCompile(`(flag provided but not defined:|flag needs an argument:|for flag) -([^\s:]+)`)

// kindOfValue says what the value of the flag has to be that an error of the flag
// parser is about.
func kindOfValue(c *cli.Context, text string) string {
	m := badValue.FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	switch flagOf(c.Command.Flags, m[1]).(type) {
	case *cli.DurationFlag:
		return "a time, such as 200ms or 1m"
	case *cli.IntFlag:
		return "a number"
	}
	return ""
}

// badValue is how package flag, but for badUsage, names a flag with a value that is
// of another kind.
var badValue = regexp.MustCompile(` for (-\S+): parse error$`)

// noCommand runs where no command has the name given.
func noCommand(c *cli.Context) error {
	name := c.Args().First()
	switch {
	case name == "" && c.Command.Name == c.App.Name:
		return cli.ShowAppHelp(c)
	case name == "":
		return cli.ShowSubcommandHelp(c)
	}
	var known []string
	for _, command := range c.Command.Subcommands {
		if !command.Hidden {
			known = append(known, command.Name)
		}
	}
	if c.Command.Name != c.App.Name {
		name = c.Command.Name + " " + name
	}
	return usagef("no command %q (known: %s)", name, strings.Join(known, ", "))
}

// noMore refuses more than n operands.
func noMore(c *cli.Context, n int) error {
	args := operands(c)
	if len(args) <= n {
		return nil
	}
	return usagef("%s: what is %q for? see renest %s --help", c.Command.Name, args[n], c.Command.Name)
}

// together refuses more than one of flags that exclude each other.
func together(c *cli.Context, flags ...string) error {
	var first string
	for _, f := range flags {
		switch {
		case !c.IsSet(f):
		case first != "":
			return usagef("%s: %s and %s exclude each other", c.Command.Name, dashed(first), dashed(f))
		default:
			first = f
		}
	}
	return nil
}

func dashed(flag string) string {
	if len(flag) == 1 {
		return "-" + flag
	}
	return "--" + flag
}

// warn says what is not an error.
func warn(c *cli.Context, format string, args ...any) {
	if c.Bool("quiet") {
		return
	}
	fmt.Fprintf(c.App.ErrWriter, "renest: "+format+"\n", args...)
}

// warnIncomplete says that what was printed of a graph, called so, is not all
// there is, and where it says what is missing.
func warnIncomplete(c *cli.Context, what, where string, h *topology.Header) {
	switch {
	case h.Complete:
	case c.Bool("verbose"):
		for _, line := range h.Missing {
			warn(c, "not seen: %s", printable(line))
		}
	default:
		warn(c, "%s is incomplete: %s says what could not be seen", what, where)
	}
}
