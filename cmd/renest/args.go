package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// permute puts the flags of a command first, so that they may stand behind its
// arguments as well: show IMAGE --json. The library, like package flag, takes
// everything behind the first argument for arguments. What follows a -- stays
// behind it, for a command's own command line.
func permute(commands []*cli.Command, args []string) []string {
	at := 1
	for at < len(args) && strings.HasPrefix(args[at], "-") && args[at] != "--" {
		at++ // global flags, none of which takes a value
	}
	// Completion looks at what is there in the order in which it is there.
	if at >= len(args) || args[len(args)-1] == completionFlag {
		return args
	}
	command := find(commands, args[at])
	if command == nil {
		return args
	}
	for at+1 < len(args) {
		sub := find(command.Subcommands, args[at+1])
		if sub == nil {
			break
		}
		command = sub
		at++
	}
	out := append([]string{}, args[:at+1]...)
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
		default:
			out = append(out, arg)
			if takesValue(command, arg) && len(args) > 0 {
				out = append(out, args[0])
				args = args[1:]
			}
		}
	}
	// The parser drops this -- and leaves one of the caller's.
	return append(append(out, "--"), rest...)
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
	name := strings.TrimPrefix(strings.TrimPrefix(arg, "-"), "-")
	for _, f := range c.Flags {
		for _, n := range f.Names() {
			if d, ok := f.(cli.DocGenerationFlag); ok && n == name {
				return d.TakesValue()
			}
		}
	}
	return false
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
