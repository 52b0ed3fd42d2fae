package main

import (
	"bufio"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
)

func diffCommand() *cli.Command {
	return &cli.Command{
		Name:  "diff",
		Usage: "say what makes one topology of another: exit 0 nothing, 1 something, 2 trouble",
		UsageText: "renest diff A B [--ignore time,names] [--json]\n\n" +
			"A and B are each an image, a directory that holds one, - for standard input,\n" +
			"live:PID or live:PID:START for a tree of processes, live:NAME for a restored\n" +
			"tree, or live for this host and, beside the image of a tree, for that tree\n" +
			"wherever it is on this host.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "tasks", Usage: "compare also which tasks share what"},
			&cli.BoolFlag{Name: "identity", Usage: "within one boot of a host: tell apart what is alike, but not the same"},
			&cli.GenericFlag{Name: "ignore", Usage: "leave out `WHAT`, a list with commas of " + sentence(ignorable), Value: new(ignoreValue)},
			jsonFlag(), colorFlag(),
		},
		Action: runDiff,
	}
}

func runDiff(c *cli.Context) error {
	if err := noMore(c, 2); err != nil {
		return err
	}
	args := operands(c)
	if len(args) < 2 {
		return usagef("diff: two are needed, each an image, live, live:PID or live:NAME")
	}
	if args[0] == "-" && args[1] == "-" {
		return usagef("diff: standard input holds one image, not two")
	}
	a, b, err := readBoth(c, args[0], args[1])
	if err != nil {
		return exitError{2, err}
	}
	changes, err := topology.Diff(a, b, topology.DiffOptions{CompareOptions: comparing(c, a, b), Identity: c.Bool("identity")})
	if err != nil {
		return exitError{2, err}
	}
	if c.Bool("json") {
		err = writeJSON(c.App.Writer, newDiffJSON(changes))
	} else {
		err = writeChanges(c, changes)
	}
	if err != nil {
		return exitError{2, err}
	}
	if len(changes) > 0 {
		return exitError{code: 1}
	}
	return nil
}

// comparing says what is compared of a and b. Clocks that went on elsewhere have
// other offsets there, so these count between two images of one boot alone.
func comparing(c *cli.Context, a, b *topology.Graph) topology.CompareOptions {
	o := topology.CompareOptions(*c.Generic("ignore").(*ignoreValue))
	o.Tasks = c.Bool("tasks")
	o.IgnoreOffsets = o.IgnoreOffsets || a.Header.BootID != b.Header.BootID ||
		slices.ContainsFunc(operands(c), func(s string) bool { return strings.HasPrefix(s, live) })
	return o
}

// ignoreValue is a flag's list of differences that do not count.
type ignoreValue topology.CompareOptions

var ignorable = []string{"time", "offsets", "names", "sysctls"}

func (v *ignoreValue) Set(s string) error {
	for what := range strings.SplitSeq(s, ",") {
		switch what {
		case "time":
			v.IgnoreTime = true
		case "offsets":
			v.IgnoreOffsets = true
		case "names":
			v.IgnoreNames = true
		case "sysctls":
			v.IgnoreSysctls = true
		default:
			return fmt.Errorf("%q is none of %s", what, sentence(ignorable))
		}
	}
	return nil
}

func (v *ignoreValue) String() string { return "" }

// readBoth reads what is compared. Beside an image of one tree, live is that
// tree, where it is to be found: see counterpart.
func readBoth(c *cli.Context, first, second string) (a, b *topology.Graph, err error) {
	if first == second && first == live {
		a, err = readGraph(c, live)
		return a, a, err
	}
	if first == live {
		b, a, err = readBoth(c, second, first)
		return a, b, err
	}
	if a, err = readGraph(c, first); err != nil {
		return nil, nil, err
	}
	if second == live && a.Header.Root != 0 {
		b, err = counterpart(c, a)
	} else {
		b, err = readGraph(c, second)
	}
	return a, b, err
}

// counterpart looks on this host for the tree that an image was made of: among
// the restored trees, and where the process is that it was rooted at. Where none
// is isomorphic it returns one of them, for the difference to be shown, and
// without any the whole host.
func counterpart(c *cli.Context, image *topology.Graph) (*topology.Graph, error) {
	trees, err := restore.List()
	if err != nil {
		return nil, err
	}
	var roots []int
	for _, t := range trees {
		if alive, _ := t.Alive(); alive > 0 {
			roots = append(roots, t.Keeper.PID)
		}
	}
	var closest *topology.Graph
	for i, pid := range append(roots, image.Header.Root) {
		g, err := dump.Tree(c.Context, pid, dump.Options{NoBinds: i < len(roots)})
		if err != nil {
			continue // it has ended
		}
		if _, err := topology.Isomorphic(image, g, comparing(c, image, g)); err == nil {
			return g, nil
		}
		closest = g
	}
	if closest == nil {
		return readGraph(c, live)
	}
	return closest, nil
}

// writeChanges writes a line for each change.
func writeChanges(c *cli.Context, changes []topology.Change) error {
	color := inColor(c)
	w := bufio.NewWriter(c.App.Writer)
	for _, ch := range changes {
		fmt.Fprintln(w, changeText(ch, color))
	}
	return w.Flush()
}

// changeText returns the line of a change.
func changeText(c topology.Change, color bool) string {
	line := printable(c.String())
	if color {
		line = map[string]string{"added": "\x1b[32m", "removed": "\x1b[31m", "changed": "\x1b[33m"}[kindOf(c)] + line + "\x1b[0m"
	}
	return line
}

// diffJSON is what diff --json prints.
type diffJSON struct {
	Isomorphic bool         `json:"isomorphic"`
	Changes    []changeJSON `json:"changes"`
}

type changeJSON struct {
	Change  string       `json:"change"` // added, removed, changed
	Of      string       `json:"of"`     // namespace, task
	First   *string      `json:"first"`
	Second  *string      `json:"second"`
	NSID    uint64       `json:"nsid,omitempty"` // of the second, or of the first if that went
	Aspects []aspectJSON `json:"aspects"`
	Below   []string     `json:"below"`
	Tasks   int          `json:"tasks,omitempty"`
}

type aspectJSON struct {
	What   string `json:"what"`
	First  string `json:"first"`
	Second string `json:"second"`
}

func newDiffJSON(changes []topology.Change) diffJSON {
	out := diffJSON{Isomorphic: len(changes) == 0, Changes: []changeJSON{}}
	for _, c := range changes {
		out.Changes = append(out.Changes, newChangeJSON(c))
	}
	return out
}

func newChangeJSON(c topology.Change) changeJSON {
	j := changeJSON{Change: kindOf(c), Of: "namespace", Aspects: []aspectJSON{}, Below: []string{}, Tasks: c.Tasks}
	j.First, j.Second = nameOrNull(c.First), nameOrNull(c.Second)
	if n := cmp.Or(c.Second, c.First); n != nil {
		j.NSID = n.ID
	}
	if c.FirstTask != nil || c.SecondTask != nil {
		j.Of, j.First, j.Second = "task", taskOrNull(c.FirstTask), taskOrNull(c.SecondTask)
	}
	for _, a := range c.Aspects {
		j.Aspects = append(j.Aspects, aspectJSON(a))
	}
	for _, n := range c.Below {
		j.Below = append(j.Below, n.Name())
	}
	return j
}

// taskOrNull names a task as /proc does.
func taskOrNull(t *topology.Task) *string {
	if t == nil {
		return nil
	}
	s := strconv.Itoa(t.PID)
	if t.TID != 0 && t.TID != t.PID {
		s += "/task/" + strconv.Itoa(t.TID)
	}
	return &s
}

// kindOf says which kind of change c is.
func kindOf(c topology.Change) string {
	switch {
	case c.First == nil && c.FirstTask == nil:
		return "added"
	case c.Second == nil && c.SecondTask == nil:
		return "removed"
	}
	return "changed"
}
