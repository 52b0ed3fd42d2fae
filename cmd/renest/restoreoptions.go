package main

import (
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

// planOptions reads what is meant to differ from the image.
func planOptions(c *cli.Context, host *restore.Host) (restore.PlanOptions, error) {
	o := host.PlanOptions()
	var err error
	if o.External, err = externals(c.StringSlice("external")); err != nil {
		return o, err
	}
	if c.IsSet("id-range") {
		r, err := restore.ParseIDRange(c.String("id-range"))
		if err != nil {
			return o, usagef("restore: %w", err)
		}
		o.IDs = &r
	}
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
