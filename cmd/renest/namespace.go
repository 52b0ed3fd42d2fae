package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/topology"
)

// nsForms is what a namespace reference may be, for help texts.
const nsForms = "NS: net:[4026531840], :ID, PID/net, PID:START/net or a path"

// parseNS reads an argument that refers to a namespace.
func parseNS(c *cli.Context, arg string) (dump.Reference, error) {
	r, err := dump.ParseReference(arg)
	if err != nil {
		return r, usagef("%s: namespace %q: %w", c.Command.Name, arg, err)
	}
	return r, nil
}

// findNS finds the namespace that r refers to in a graph of this host.
func findNS(c *cli.Context, r dump.Reference, g *topology.Graph) (*topology.Namespace, error) {
	host, err := dump.OpenHost()
	if err != nil {
		return nil, err
	}
	defer host.Close()
	return host.Find(c.Context, r, g)
}

// parseOwner reads how a user namespace is referred to. self is that of this
// process.
func parseOwner(arg string) (dump.Reference, error) {
	if arg == "self" {
		arg = "self/user"
	}
	r, err := dump.ParseReference(arg)
	if err == nil && r.Type() != 0 && r.Type() != topology.User {
		err = errNoOwner
	}
	return r, err
}

var errNoOwner = errors.New("only user namespaces own others")

// nameOf names what an edge leads to, ? where that is out of sight.
func nameOf(n *topology.Namespace) string {
	if n == nil {
		return "?"
	}
	return n.Name()
}

// nameOrNull is nameOf for JSON.
func nameOrNull(n *topology.Namespace) *string {
	if n == nil {
		return nil
	}
	s := n.Name()
	return &s
}

// texts returns the text of each, an empty list for none.
func texts[T interface{ String() string }](list []T) []string {
	out := make([]string, 0, len(list))
	for _, v := range list {
		out = append(out, v.String())
	}
	return out
}

// sentence joins texts so that they read as one.
func sentence(list []string) string {
	if n := len(list); n > 1 {
		return strings.Join(list[:n-1], ", ") + " and " + list[n-1]
	}
	return strings.Join(list, "")
}

// several counts things: "1 task", "2 tasks".
func several(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}
