package main

import (
	"context"
	_ "embed" // the scripts
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
)

var (
	//go:embed completion/renest.bash
	bashCompletion string
	//go:embed completion/renest.zsh
	zshCompletion string
	//go:embed completion/renest.fish
	fishCompletion string
)

func completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print what makes a shell complete renest's command lines",
		UsageText: "renest completion bash|zsh|fish",
		Action:    runCompletion,
	}
}

func runCompletion(c *cli.Context) error {
	if err := noMore(c, 1); err != nil {
		return err
	}
	shell := append(operands(c), "")[0]
	if shell == "" {
		return usagef("completion: of which shell? bash, zsh or fish")
	}
	script, ok := map[string]string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}[shell]
	if !ok {
		return usagef("completion: %q is none of bash, zsh and fish", shell)
	}
	_, err := io.WriteString(c.App.Writer, script)
	return err
}

// suggestion is a word that may come next.
type suggestion struct{ word, about string }

// completes gives a command, and those below it, completion of its flags, their
// values and its operands. The scripts call renest with the words up to the one
// that is to be completed, that one only if it begins a flag, and
// --generate-bash-completion.
func completes(c *cli.Command) {
	for _, sub := range c.Subcommands {
		completes(sub)
	}
	c.BashComplete = func(ctx *cli.Context) {
		words := os.Args[1:max(1, len(os.Args)-1)] // the library does not say what it was given
		suggest(ctx.App.Writer, suggestions(ctx, c, words))
	}
}

func suggestions(ctx *cli.Context, c *cli.Command, words []string) []suggestion {
	last := append([]string{""}, words...)[len(words)]
	if strings.HasPrefix(last, "-") {
		if takesValue(c, last) {
			return valuesOf(ctx, strings.TrimLeft(last, "-"))
		}
		return flagsOf(c)
	}
	if out := commandsIn(c.Subcommands); len(out) > 0 {
		return out
	}
	return operandsOf(ctx, c.Name, ctx.NArg())
}

func commandsIn(list []*cli.Command) []suggestion {
	var out []suggestion
	for _, c := range list {
		if !c.Hidden && c.Name != "help" { // the library's, which every command has
			out = append(out, suggestion{c.Name, c.Usage})
		}
	}
	return out
}

func flagsOf(c *cli.Command) []suggestion {
	var out []suggestion
	for _, f := range c.VisibleFlags() {
		about := ""
		if d, ok := f.(cli.DocGenerationFlag); ok {
			about = strings.ReplaceAll(d.GetUsage(), "`", "")
		}
		spelt := false
		for _, name := range f.Names() {
			if long := len(name) > 1; !long || !spelt { // another spelling would be in the way
				out = append(out, suggestion{dashed(name), about})
				spelt = spelt || long
			}
		}
	}
	return out
}

// valuesOf suggests values of a flag; none where a file is wanted, which the shell
// completes itself.
func valuesOf(ctx *cli.Context, flag string) []suggestion {
	switch flag {
	case "tree", "t":
		return pids()
	case "owner":
		return append([]suggestion{{"self", "your own"}}, namespaces(ctx, topology.User)...)
	case "type":
		return words(texts(topology.Types[:])...)
	case "ignore":
		return words(ignorable...)
	case "cap":
		return words(texts(topology.AllCaps.Caps())...)
	case "oci":
		return trees("")
	}
	return words(choices[flag]...)
}

// choices are the values of flags that have but some.
var choices = map[string][]string{
	"by":      {"owner", "parent"},
	"format":  {"text", "dot", "mermaid", "html"},
	"color":   {"auto", "always", "never"},
	"colour":  {"auto", "always", "never"},
	"source":  {"auto", "listns", "proc"},
	"clock":   {"continue", "offset"},
	"cgroups": {"existing", "make"},
	"pids":    {"free", "inner", "exact"},
	"pins":    {"image", "all", "original"},
	"mode":    {"enforce", "warn", "off"},
}

// operandsOf suggests the operand of a command that follows n others.
func operandsOf(ctx *cli.Context, command string, n int) []suggestion {
	switch {
	case command == "caps" && n == 0:
		return pids()
	case command == "caps" && n == 1, (command == "who" || command == "why") && n == 0:
		return namespaces(ctx, 0)
	case command == "enter" && n == 0:
		return append(trees(""), namespaces(ctx, 0)...)
	case command == "rm":
		return trees("")
	case (command == "tree" || command == "watch") && n == 0, command == "diff" && n < 2:
		return append([]suggestion{{"live", "this host"}}, trees("live:")...)
	case command == "help":
		return commandsIn(ctx.App.Commands)
	case command == "completion" && n == 0:
		return words("bash", "zsh", "fish")
	case command == "schema" && n == 0:
		return words(outputNames()...)
	}
	return nil
}

func words(list ...string) []suggestion {
	var out []suggestion
	for _, w := range list {
		out = append(out, suggestion{word: w})
	}
	return out
}

// pids suggests the processes there are, without those of the kernel.
func pids() []suggestion {
	var out []suggestion
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is well formed
	for _, file := range files {
		if cmdline, err := os.ReadFile(file); err == nil && len(cmdline) > 0 {
			name, _, _ := strings.Cut(string(cmdline), "\x00")
			out = append(out, suggestion{filepath.Base(filepath.Dir(file)), filepath.Base(name)})
		}
	}
	return out
}

// namespaces suggests those of a type, of all for 0.
func namespaces(ctx *cli.Context, t topology.Type) []suggestion {
	brief, cancel := context.WithTimeout(ctx.Context, 2*time.Second)
	defer cancel()
	g, err := dump.All(brief, dump.Options{NoState: true, NoBinds: true})
	if err != nil {
		return nil // a completion has nobody to tell
	}
	first := make(map[*topology.Namespace]*topology.Task)
	for _, task := range g.Tasks {
		for _, n := range task.Namespaces {
			if first[n] == nil {
				first[n] = task
			}
		}
	}
	var out []suggestion
	for _, n := range g.Namespaces {
		if t != 0 && n.Type != t {
			continue
		}
		about := n.State.String()
		if task := first[n]; task != nil {
			about = task.Comm + " " + strconv.Itoa(task.PID)
		}
		out = append(out, suggestion{n.Name(), about})
	}
	return out
}

// trees suggests restored trees.
func trees(prefix string) []suggestion {
	list, _ := restore.List() // what can be read of them
	var out []suggestion
	for _, t := range list {
		out = append(out, suggestion{prefix + t.Name, fmt.Sprintf("%d namespaces", len(t.Namespaces))})
	}
	return out
}

// suggest prints suggestions as the script that asks wants them.
func suggest(w io.Writer, list []suggestion) {
	slices.SortStableFunc(list, func(a, b suggestion) int {
		return strings.Compare(strings.TrimLeft(a.word, "-"), strings.TrimLeft(b.word, "-"))
	})
	for _, s := range list {
		about := printable(s.about)
		switch os.Getenv("RENEST_COMPLETE") {
		case "zsh":
			fmt.Fprintf(w, "%s:%s\n", strings.NewReplacer(`\`, `\\`, ":", `\:`).Replace(s.word), about)
		case "fish":
			fmt.Fprintf(w, "%s\t%s\n", s.word, about)
		default:
			fmt.Fprintln(w, s.word)
		}
	}
}
