package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
)

// externalFlag names what stands for namespaces of an image.
func externalFlag() cli.Flag {
	return &cli.StringSliceFlag{
		Name: "external", Usage: "have what `NS=REF` names stand for a namespace of the image; may be repeated",
	}
}

// exactnessFlags say what becomes of what another host has otherwise.
func exactnessFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "clock", Value: restore.ClockContinue.String(), Usage: "have clocks of time namespaces `GO`: continue, or keep their offset to this host's"},
		&cli.StringFlag{Name: "cgroups", Value: "existing", Usage: "root cgroup namespaces in `WHICH` cgroups: existing ones only, or make those that are missing"},
	}
}

// makeCgroups reads --cgroups.
func makeCgroups(c *cli.Context) (bool, error) {
	switch v := c.String("cgroups"); v {
	case "existing", "make":
		return v == "make", nil
	default:
		return false, usagef("restore: --cgroups: unknown %q (known: existing, make)", v)
	}
}

// planOptions reads what is meant to differ from the image.
func planOptions(c *cli.Context, host *restore.Host) (restore.PlanOptions, error) {
	o := host.PlanOptions()
	var err error
	if o.External, err = externals(c.StringSlice("external")); err != nil {
		return o, err
	}
	if o.Clock, err = restore.ParseClock(c.String("clock")); err != nil {
		return o, usagef("restore: --clock: %w", err)
	}
	if c.IsSet("id-range") {
		r, err := restore.ParseIDRange(c.String("id-range"))
		if err != nil {
			return o, usagef("restore: %w", err)
		}
		o.IDs = &r
	}
	switch mode := c.String("pids"); mode {
	case "", "free":
	case "inner":
		o.PIDs = restore.InnerPIDs
	case "exact":
		o.PIDs = restore.ExactPIDs
	default:
		return o, usagef("restore: --pids %q: want free, inner or exact", mode)
	}
	o.Pins, err = pinOptions(c)
	return o, err
}

// pinFlags say which namespaces are bind-mounted, and where.
func pinFlags() []cli.Flag {
	return []cli.Flag{
		&cli.PathFlag{Name: "pin", Usage: "bring bind mounts of the namespaces back below `DIR`", TakesFile: true},
		&cli.StringFlag{Name: "pins", Usage: "bind-mount `WHICH`: image, those it has; all, with --pin, every namespace; original, without --pin, those it has where they were"},
	}
}

func pinOptions(c *cli.Context) (restore.PinOptions, error) {
	var o restore.PinOptions
	which := c.String("pins")
	switch {
	case c.IsSet("pin") && c.Path("pin") == "":
		return o, usagef("restore: --pin: to which folder?")
	case !c.IsSet("pins") || which == "image":
	case which == "all":
		o.All = true
	case which == "original":
		o.Original = true
	default:
		return o, usagef("restore: --pins %q: want image, all or original", which)
	}
	switch {
	case o.Original && c.IsSet("pin"):
		return o, usagef("restore: --pins original is in place of --pin DIR")
	case !o.Original && c.IsSet("pins") && !c.IsSet("pin"):
		return o, usagef("restore: --pins %s: to which folder? --pin DIR", which)
	case !c.IsSet("pin"):
		return o, nil
	}
	// The pins are found again by this path: it is to lead there by itself.
	dir, err := filepath.EvalSymlinks(c.Path("pin"))
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return o, fmt.Errorf("restore: --pin: %w (mkdir -p it first)", err)
	}
	if err != nil {
		return o, fmt.Errorf("restore: --pin: %w", err)
	}
	o.Dir = dir
	return o, nil
}

// externals reads the values of --external.
func externals(args []string) (map[string]string, error) {
	refs := map[string]string{}
	for _, arg := range args {
		name, ref, ok := strings.Cut(arg, "]=")
		if name += "]"; !ok {
			return nil, usagef("restore: --external %q: want NS=REF, such as 'net:[4026532008]=/run/netns/x'", arg)
		}
		if _, _, err := topology.ParseName(name); err != nil {
			return nil, usagef("restore: --external %q: %w", arg, err)
		}
		if _, err := dump.ParseReference(ref); err != nil {
			return nil, usagef("restore: --external %q: %q: %w", arg, ref, err)
		}
		if _, twice := refs[name]; twice {
			return nil, usagef("restore: --external %q: %s is given twice", arg, name)
		}
		refs[name] = ref
	}
	return refs, nil
}
