package main

import (
	"fmt"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"

	"github.com/renest/renest/restore"
)

// ociJSON is a part of the config.json of an OCI runtime.
type ociJSON struct {
	Linux *ociLinux `json:"linux"`
}

// ociLinux is of [specs.Linux] what renest knows: the spec's other members are not
// even to be null.
type ociLinux struct {
	Namespaces []specs.LinuxNamespace `json:"namespaces"`
}

// ociOf returns the namespaces of a tree for a runtime.
func ociOf(t *restore.Tree, pid string) (*ociLinux, error) {
	list, err := t.OCI(pid)
	if err != nil {
		return nil, err
	}
	return &ociLinux{list}, nil
}

func runOCI(c *cli.Context) error {
	if err := together(c, "oci", "json"); err != nil {
		return err
	}
	name, pid, one := strings.Cut(c.String("oci"), "/")
	if err := restore.CheckName(name); err != nil {
		return usagef("ps: --oci: %w", err)
	}
	if one && !strings.HasPrefix(pid, "pid:[") {
		return usagef("ps: --oci %s: behind the / stands a pid namespace, such as pid:[4026532008]", c.String("oci"))
	}
	tree, err := restore.Find(name)
	if err != nil {
		return fmt.Errorf("ps: %w", err)
	}
	linux, err := ociOf(tree, pid)
	if err != nil {
		return fmt.Errorf("ps: %w", err)
	}
	return writeJSON(c.App.Writer, ociJSON{linux})
}
