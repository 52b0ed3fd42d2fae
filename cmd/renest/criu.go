package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/renest/renest/dump"
	dumpcriu "github.com/renest/renest/dump/criu"
	"github.com/renest/renest/images"
	criuimages "github.com/renest/renest/images/criu"
	"github.com/renest/renest/restore"
	restorecriu "github.com/renest/renest/restore/criu"
	"github.com/renest/renest/topology"
)

func criuCommand() *cli.Command {
	program := &cli.PathFlag{Name: "criu", Usage: "run `CRIU`, of 4.2 or later", Value: "criu", TakesFile: true}
	dir := &cli.PathFlag{Name: "images-dir", Aliases: []string{"D"}, Usage: "the folder of the images is `DIR`", TakesFile: true}
	return &cli.Command{
		Name:      "criu",
		Usage:     "dump and restore tasks with CRIU, at any depth of namespaces",
		UsageText: "renest criu dump -t PID -D DIR [-- CRIU OPTIONS]\nrenest criu restore -D DIR [--name NAME] [-- CRIU OPTIONS]",
		Subcommands: []*cli.Command{
			{
				Name:  "dump",
				Usage: "dump the tree of a process, namespaces and tasks",
				UsageText: "renest criu dump -t PID -D DIR [-- CRIU OPTIONS]\n\n" +
					"CRIU dumps the tasks, renest what CRIU would refuse or lose. What neither can\n" +
					"save is refused before anything is frozen. CRIU OPTIONS are passed on.",
				Flags: []cli.Flag{
					&cli.GenericFlag{Name: "tree", Aliases: []string{"t"}, Usage: "dump the tree of `PID`", Value: new(taskValue)},
					dir, program,
				},
				Action:       runCRIUDump,
				OnUsageError: badUsage,
			},
			{
				Name:  "restore",
				Usage: "bring a tree back that renest criu dump dumped",
				UsageText: "renest criu restore -D DIR [--name NAME] [--root PATH] [-- CRIU OPTIONS]\n\n" +
					"The namespaces above the tree are made anew, the tasks come back inside of\n" +
					"them, and stay: see renest ps, renest enter, renest rm.",
				Flags: []cli.Flag{
					dir, program,
					&cli.StringFlag{Name: "name", Usage: "restore under `NAME`"},
					&cli.PathFlag{Name: "root", Usage: "the root directory of the outermost tasks is at `PATH`, if not where it was", TakesFile: true},
					&cli.BoolFlag{Name: "restore-sibling", Aliases: []string{"S"}, Usage: "be the parent of the first task, wait for it and end as it does"},
				},
				Action:       runCRIURestore,
				OnUsageError: badUsage,
			},
		},
	}
}

func runCRIUDump(c *cli.Context) error {
	config, err := criuUsage(c)
	if err != nil {
		return err
	}
	if !c.IsSet("tree") {
		return usagef("criu dump: of what? -t PID is a tree of processes")
	}
	dir := c.Path("images-dir")
	err = os.Mkdir(dir, 0o700)
	made := err == nil
	if err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	result, err := dumpcriu.Dump(c.Context, dumpcriu.Options{
		Tree: dump.TaskReference(*c.Generic("tree").(*taskValue)), Dir: dir, CRIU: c.Path("criu"), Config: config, WriteImage: images.WriteBeside,
	})
	if err != nil {
		if made {
			_ = syscall.Rmdir(dir) // unless there is a log in it
		}
		return err
	}
	for _, note := range result.Notes {
		warn(c, "%s", note)
	}
	for i, l := range result.Layers {
		if result.Record.Layers[i].Root == "" && !l.In(topology.Mnt).External {
			warn(c, "the root directory of pid %d is nowhere on this host: give restore one (--root PATH)", l.Root.PID)
		}
	}
	return nil
}

func runCRIURestore(c *cli.Context) error {
	config, err := criuUsage(c)
	if err != nil {
		return err
	}
	if name := c.String("name"); c.IsSet("name") {
		if err := restore.CheckName(name); err != nil {
			return usagef("criu restore: %w", err)
		}
	}
	dir := c.Path("images-dir")
	g, err := images.ReadFile(dir)
	if err != nil {
		return err
	}
	f, err := images.OpenIn(dir, dumpcriu.RecordName)
	if err != nil {
		return fmt.Errorf("%s was not made by renest criu dump: %w", dir, err)
	}
	defer f.Close()
	record, err := dumpcriu.DecodeRecord(f)
	if err != nil {
		return err
	}
	result, err := restorecriu.Restore(c.Context, restorecriu.Options{
		Graph: g, Record: record, Dir: dir, Share: shareImages, CRIU: c.Path("criu"), Config: config,
		Name: c.String("name"), Root: c.Path("root"), Sibling: c.Bool("restore-sibling"),
	})
	if err != nil {
		return err
	}
	for _, note := range result.Notes {
		warn(c, "%s", note)
	}
	for _, pid := range result.PIDs {
		if _, err := fmt.Fprintln(c.App.Writer, result.Tree.Name, pid); err != nil {
			return err
		}
	}
	if c.Bool("restore-sibling") {
		return waitFor(c.Context, result.PIDs[0])
	}
	return nil
}

// waitFor waits for a child, and ends as it does. What is told to end before leaves the
// child to the next subreaper.
func waitFor(ctx context.Context, pid int) error {
	type end struct {
		status syscall.WaitStatus
		err    error
	}
	ended := make(chan end, 1)
	go func() {
		var e end
		for {
			if _, e.err = syscall.Wait4(pid, &e.status, 0, nil); !errors.Is(e.err, syscall.EINTR) {
				break
			}
		}
		ended <- e
	}()
	select {
	case e := <-ended:
		return statusError(e.status, e.err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func shareImages(dir string, types []topology.Type) (map[string][]byte, error) {
	return criuimages.Share(os.DirFS(dir), types)
}

// criuUsage checks a call, and returns the lines of a configuration file of CRIU's.
func criuUsage(c *cli.Context) ([]string, error) {
	args, options := splitCommand(c.Args().Slice())
	if len(args) > 0 {
		return nil, usagef("criu %s: what is %q for? CRIU's options stand behind --", c.Command.Name, args[0])
	}
	if c.Path("images-dir") == "" {
		return nil, usagef("criu %s: which folder? -D DIR", c.Command.Name)
	}
	config, err := dumpcriu.Config(options)
	if err != nil {
		return nil, usagef("%w", err)
	}
	return config, nil
}
