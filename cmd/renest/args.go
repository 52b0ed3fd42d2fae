package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// permute puts the flags of a command first, so that they may stand behind its
// arguments as well: show IMAGE --json. The library, like package flag, takes
// everything behind the first argument for arguments. What follows a -- stays
// behind it, for a command's own command line. The program's own flags may stand
// there too, and go before the command.
func permute(app *cli.App, args []string) []string {
	at := 1
	for at < len(args) && strings.HasPrefix(args[at], "-") && args[at] != "--" {
		at++ // global flags, none of which takes a value
	}
	// Completion looks at what is there in the order in which it is there.
	if at >= len(args) || args[len(args)-1] == completionFlag {
		return args
	}
	command := find(app.Commands, args[at])
	if command == nil {
		return args
	}
	start := at
	for at+1 < len(args) {
		sub := find(command.Subcommands, args[at+1])
		if sub == nil {
			break
		}
		command = sub
		at++
	}
	global := slices.Clone(args[:start])
	out := slices.Clone(args[start : at+1])
	help := slices.Concat(args[:at+1], []string{"--help"})
	var rest []string
	args = args[at+1:]
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "--":
			rest = append(append(rest, arg), args...)
			args = nil
		case arg == "-" || !strings.HasPrefix(arg, "-"):
			rest = append(rest, arg)
		case arg == "--help" || arg == "-h":
			return help // whatever else there is, which the library takes for a topic
		case flagOf(app.Flags, arg) != nil && flagOf(command.Flags, arg) == nil:
			global = append(global, arg)
		default:
			out = append(out, arg)
			if takesValue(command, arg) {
				if len(args) == 0 {
					return append(global, out...) // the parser says that it is missing
				}
				out = append(out, args[0])
				args = args[1:]
			}
		}
	}
	// The parser drops this -- and leaves one of the caller's.
	return slices.Concat(global, out, []string{"--"}, rest)
}

// completionFlag is cli.BashCompletionFlag, which cannot be hidden from help.
const completionFlag = "--generate-bash-completion"

func find(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

// takesValue reports whether arg is a flag of c whose value is the next
// argument.
func takesValue(c *cli.Command, arg string) bool {
	d, ok := flagOf(c.Flags, arg).(cli.DocGenerationFlag)
	return ok && d.TakesValue()
}

// flagOf returns the one of flags that arg names, nil if none is.
func flagOf(flags []cli.Flag, arg string) cli.Flag {
	name := strings.TrimPrefix(strings.TrimPrefix(arg, "-"), "-")
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

// operands returns the arguments of a command that runs no other: a -- among
// them only says that what follows is no flag.
func operands(c *cli.Context) []string {
	before, after := splitCommand(c.Args().Slice())
	return append(before, after...)
}

// splitCommand splits what permute left into a command's own arguments and,
// from behind a --, the command line of another.
func splitCommand(args []string) (own, command []string) {
	at := slices.Index(args, "--")
	if at < 0 {
		return args, nil
	}
	return slices.Clone(args[:at]), args[at+1:]
}
