package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
)

func enterCommand() *cli.Command {
	return &cli.Command{
		Name:  "enter",
		Usage: "run a command in namespaces, joined in the only order that works",
		UsageText: "renest enter NAME | NAME/NS | NS [-- CMD…]\n\n" +
			"NAME is a restored tree: all namespaces of its innermost holder. NAME/NS is\n" +
			"the one that stands for NS of its image, net:[4026532180] say, or that it\n" +
			"restored it as.\n" + nsForms,
		Action: runEnter,
	}
}

func runEnter(c *cli.Context) error {
	args, command := splitCommand(c.Args().Slice())
	if len(args) != 1 {
		return usagef("enter: one thing to enter, a restored tree or a namespace; a command stands behind --")
	}
	if len(command) == 0 {
		command = []string{defaultShell()}
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		return fmt.Errorf("enter: %w", err)
	}
	refs, err := entrance(c, args[0])
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	return statusError(restore.Enter(context.WithoutCancel(c.Context), refs, restore.Command{
		Path: path, Args: command, Signals: signals,
		Stdio: []*os.File{os.Stdin, os.Stdout, os.Stderr},
	}))
}

// entrance returns the namespaces that an argument stands for.
func entrance(c *cli.Context, arg string) ([]dump.Reference, error) {
	name, inner, one := strings.Cut(arg, "/")
	if restore.CheckName(name) != nil || name == "self" {
		r, err := parseNS(c, arg)
		return []dump.Reference{r}, err
	}
	tree, err := restore.Find(name)
	if one && errors.Is(err, restore.ErrNotFound) {
		return nil, fmt.Errorf("enter: %w; a path begins with / or ./", err)
	}
	if err != nil {
		return nil, fmt.Errorf("enter: %w", err)
	}
	var paths []string
	switch {
	case one:
		if paths = bound(tree, inner); paths == nil {
			return nil, fmt.Errorf("enter: %s restored no namespace %s", name, inner)
		}
	case tree.Innermost == 0:
		return nil, fmt.Errorf("enter: no process of %s stands in its namespaces, name one of them: %s/net:[…]", name, name)
	default:
		for _, t := range topology.Types {
			paths = append(paths, fmt.Sprintf("/proc/%d/ns/%s", tree.Innermost, t))
		}
	}
	var refs []dump.Reference
	for _, p := range paths {
		r, err := dump.ParseReference(p)
		if err != nil {
			return nil, err
		}
		refs = append(refs, r)
	}
	return refs, nil
}

// bound returns the path of a namespace of a restored tree.
func bound(tree *restore.Tree, ns string) []string {
	for _, b := range tree.Namespaces {
		if (b.Image == ns || b.Live == ns) && b.Path != "" {
			return []string{b.Path}
		}
	}
	return nil
}

// statusError makes the exit code of renest that of a command, as a shell has
// it.
func statusError(status syscall.WaitStatus, err error) error {
	switch {
	case err != nil:
		return err
	case status.Signaled():
		return exitError{code: 128 + int(status.Signal())}
	case status.ExitStatus() != 0:
		return exitError{code: status.ExitStatus()}
	}
	return nil
}
