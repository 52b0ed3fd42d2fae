package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
)

func restoreCommand() *cli.Command {
	return &cli.Command{
		Name:  "restore",
		Usage: "bring the namespaces of an image back",
		UsageText: "renest restore (-D DIR | FILE | -) [--name NAME] [--external NS=REF]…\n" +
			"   [--id-range FIRST:COUNT] [--pin DIR] [--pins image|all|original]\n" +
			"   [--pids free|inner|exact] [--clock continue|offset]\n" +
			"   [--cgroups existing|make] [--dry-run] [--json] [-d | -- CMD…]\n\n" +
			"Without -d, CMD (by default your shell) runs in the innermost namespaces, and\n" +
			"the tree is taken down when it ends. With -d the tree stays: see renest ps.\n\n" +
			"--external 'net:[4026532008]=/run/netns/x' has a namespace of the image stand\n" +
			"for one that is there: a path, PID/net, :ID or net:[…], as in renest enter.\n\n" +
			"--id-range 200000:65536 moves the ids that the outermost user namespaces map\n" +
			"to others of this host; all below follow.\n\n" +
			"--pin DIR brings the bind mounts of the image back, each below DIR by the\n" +
			"path that it had, so that nsenter, ip netns and container runtimes find them.\n" +
			"--pins original brings them back where they were, if nothing is there.",
		Flags: append(exactnessFlags(),
			&cli.PathFlag{Name: "images-dir", Aliases: []string{"D"}, Usage: "read nstree.img from `DIR`", TakesFile: true},
			&cli.StringFlag{Name: "name", Usage: "restore under `NAME`"},
			externalFlag(),
			&cli.StringFlag{Name: "id-range", Usage: "map ids of the range `FIRST:COUNT` in place of the image's"},
			pinFlags()[0], pinFlags()[1],
			&cli.StringFlag{Name: "pids", Usage: "give the first processes `WHICH` pids: free, any; inner, those they had in the tree; exact, on this host too"},
			&cli.BoolFlag{Name: "dry-run", Usage: "say what would be done and why, and whether this host allows it"},
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "return and leave the tree standing"},
			jsonFlag(),
		),
		Action: runRestore,
	}
}

func runRestore(c *cli.Context) error {
	image, command, err := restoreUsage(c)
	if err != nil {
		return err
	}
	host, g, err := readForRestore(c, image)
	if err != nil {
		return err
	}
	o, err := planOptions(c, host)
	if err != nil {
		return err
	}
	plan, err := restore.NewPlan(g, o)
	if err != nil {
		return fmt.Errorf("%s cannot be restored:\n%w", image, err)
	}
	if err := host.Resolve(c.Context, plan); err != nil {
		return err
	}
	if !host.Privileged {
		if err := host.Try(c.Context); err != nil {
			return err
		}
	}
	refused := restore.Preflight(plan, host)
	if c.Bool("dry-run") {
		if err := showPlan(c, plan); err != nil {
			return err
		}
	}
	if refused != nil {
		return fmt.Errorf("%s cannot be restored here:\n%w", image, refused)
	}
	if c.Bool("dry-run") {
		return nil
	}
	return carryOut(c, plan, command)
}

// readForRestore asks the host what it allows while it reads the image.
func readForRestore(c *cli.Context, image string) (*restore.Host, *topology.Graph, error) {
	var host *restore.Host
	var herr error
	var asking sync.WaitGroup
	asking.Go(func() { host, herr = restore.ReadHost() })
	g, err := readImage(c, image)
	asking.Wait()
	if err == nil {
		err = herr
	}
	return host, g, err
}

// restoreUsage returns the image and the command of a call.
func restoreUsage(c *cli.Context) (image string, command []string, err error) {
	args, command := splitCommand(c.Args().Slice())
	if dir := c.Path("images-dir"); dir != "" {
		args = append(args, dir)
	}
	switch {
	case len(args) == 0:
		return "", nil, usagef("restore: which image? -D DIR, a file, or - for standard input")
	case len(args) > 1:
		return "", nil, usagef("restore: one image, not %d: a command stands behind --", len(args))
	case c.Bool("detach") && len(command) > 0:
		return "", nil, usagef("restore: either -d or a command")
	}
	if name := c.String("name"); c.IsSet("name") {
		if err := restore.CheckName(name); err != nil {
			return "", nil, usagef("restore: %w", err)
		}
	}
	return args[0], command, nil
}

func carryOut(c *cli.Context, plan *restore.Plan, command []string) error {
	made, err := makeCgroups(c)
	if err != nil {
		return err
	}
	o := restore.Options{Name: c.String("name"), MakeCgroups: made}
	var path string
	if !c.Bool("detach") {
		o.Stdio = []*os.File{os.Stdin, os.Stdout, os.Stderr}
		if len(command) == 0 {
			command = []string{defaultShell()}
		}
		if path, err = exec.LookPath(command[0]); err != nil {
			return fmt.Errorf("restore: %w", err)
		}
	}
	show, wipe := progress(c)
	o.Progress = show
	s, err := restore.Execute(c.Context, plan, o)
	wipe()
	if err != nil {
		return err
	}
	for _, note := range s.Notes {
		warn(c, "%s", note)
	}
	if c.Bool("detach") {
		err = commit(c, s)
		if cerr := s.Close(); cerr != nil { // of a tree that stands, what there was for making it
			warn(c, "%v", cerr)
		}
		return err
	}
	if err = announce(c, s); err == nil {
		err = runIn(c.Context, s, path, command)
	}
	if cerr := s.Close(); err == nil {
		err = cerr
	}
	return err
}

func defaultShell() string {
	if sh := os.Getenv("SHELL"); sh != "" {
		return sh
	}
	return "/bin/sh"
}

// commit leaves the tree standing and says where it is. A tree that nobody was told
// of does not stay.
func commit(c *cli.Context, s *restore.Standing) error {
	t, err := s.Commit(c.Context)
	if err != nil {
		return err
	}
	if err := tell(c, t); err != nil {
		return errors.Join(fmt.Errorf("say that %s stands, which it did: %w", t.Name, err), restore.Remove(t.Name))
	}
	return nil
}

func tell(c *cli.Context, t *restore.Tree) error {
	if c.Bool("json") {
		var err error
		out := restoredJSON{Name: t.Name, PID: t.Keeper.PID, Namespaces: t.Namespaces, Verified: t.Verified}
		if t.Innermost != 0 {
			if out.Linux, err = ociOf(t, ""); err != nil {
				return err
			}
		}
		return writeJSON(c.App.Writer, out)
	}
	_, err := fmt.Fprintln(c.App.Writer, t.Name)
	return err
}

// restoredJSON is what restore --json prints.
type restoredJSON struct {
	Name       string            `json:"name"`
	PID        int               `json:"pid"`
	Namespaces []restore.Binding `json:"namespaces"`
	Verified   bool              `json:"verified"`
	// Linux is what an OCI runtime's config.json has to have.
	Linux *ociLinux `json:"linux,omitempty"`
}

// announce says as JSON, where that is asked for, what a command is to find.
func announce(c *cli.Context, s *restore.Standing) error {
	if !c.Bool("json") {
		return nil
	}
	return writeJSON(c.App.Writer, restoredJSON{Name: c.String("name"), PID: s.PID(), Namespaces: s.Bindings, Verified: true})
}

// runIn runs a command in the tree. Signals to stop are the command's; the tree
// ends with it. The exit code is the command's, as a shell has it.
func runIn(ctx context.Context, s *restore.Standing, path string, command []string) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	return statusError(s.Command(context.WithoutCancel(ctx), path, command, signals))
}
