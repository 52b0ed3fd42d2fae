package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/topology"
)

func capsCommand() *cli.Command {
	return &cli.Command{
		Name:      "caps",
		Usage:     "say what a process may do to a namespace, and why",
		UsageText: "renest caps PID NS [--json]   (PID: 4711, 4711:START or self; " + nsForms + ")",
		Flags:     []cli.Flag{jsonFlag()},
		Action:    runCaps,
	}
}

func runCaps(c *cli.Context) error {
	if err := noMore(c, 2); err != nil {
		return err
	}
	args := operands(c)
	if len(args) < 2 {
		return usagef("caps: which process, and which namespace? renest caps PID NS")
	}
	task, err := dump.ParseTaskReference(args[0])
	if err != nil {
		return usagef("caps: process %q: %w", args[0], err)
	}
	ns, err := parseNS(c, args[1])
	if err != nil {
		return err
	}
	host, err := dump.OpenHost()
	if err != nil {
		return err
	}
	defer host.Close()
	if task, err = host.Identify(task); err != nil {
		return fmt.Errorf("caps: %w", err)
	}
	a, err := host.Authority(c.Context, task, ns)
	if err != nil {
		return fmt.Errorf("caps: %w", err)
	}
	if c.Bool("json") {
		return writeJSON(c.App.Writer, newActorJSON(a))
	}
	return writeActor(c.App.Writer, a)
}

// actorJSON is what caps --json prints, and who --json for each task.
type actorJSON struct {
	PID        int        `json:"pid"`
	TID        int        `json:"tid,omitempty"`
	Start      uint64     `json:"start"`
	Comm       string     `json:"comm"`
	EUID       uint32     `json:"euid"`
	User       *string    `json:"user"`
	Namespace  *string    `json:"namespace"`
	Governor   *string    `json:"governor"`
	Rule       string     `json:"rule"`
	Path       []stepJSON `json:"path"`
	Held       []string   `json:"capabilities"`
	Raisable   []string   `json:"raisable"`
	Gainable   []string   `json:"gainable"`
	Join       joinJSON   `json:"setns"`
	NoNewPrivs bool       `json:"no_new_privs"`
	Securebits *int       `json:"securebits"`
	Seccomp    bool       `json:"seccomp"`
	KThread    bool       `json:"kthread"`
	Zombie     bool       `json:"zombie"`
	Complete   bool       `json:"complete"`
}

type stepJSON struct {
	Namespace  *string `json:"namespace"`
	CreatorUID *uint32 `json:"creator_uid"`
	Rule       string  `json:"rule"`
}

type joinJSON struct {
	Allowed   bool     `json:"allowed"`
	Missing   []string `json:"missing"`
	Via       *string  `json:"via"`
	UnshareFS bool     `json:"unshare_fs"`
}

func newActorJSON(a *dump.Actor) actorJSON {
	out := actorJSON{
		PID: a.PID, Start: a.Start, Comm: a.Comm, EUID: a.EUID,
		User: nameOrNull(a.User), Namespace: nameOrNull(a.Target), Governor: nameOrNull(topology.Governor(a.Target)),
		Rule: a.Rule.String(), Path: []stepJSON{},
		Held: texts(a.Held.Caps()), Raisable: texts(a.Raisable.Caps()), Gainable: texts(a.Gainable.Caps()),
		Join:       joinJSON{a.Join.OK, texts(a.Join.Missing), nameOrNull(a.Join.Via), a.Join.UnshareFS},
		NoNewPrivs: a.NoNewPrivs, Seccomp: a.Seccomp, KThread: a.KThread, Zombie: a.Zombie(),
		Complete: !a.Unsure && !a.Join.Unsure,
	}
	if a.TID != a.PID {
		out.TID = a.TID
	}
	if a.Securebits >= 0 {
		out.Securebits = &a.Securebits
	}
	for _, s := range a.Steps {
		step := stepJSON{Namespace: nameOrNull(s.NS), Rule: s.Rule.String()}
		if s.Known {
			step.CreatorUID = &s.Creator
		}
		out.Path = append(out.Path, step)
	}
	return out
}

// writeActor writes the answer, the way through the tree that leads to it, and
// what else there is to say.
func writeActor(w io.Writer, a *dump.Actor) error {
	var b strings.Builder
	fmt.Fprintf(&b, "pid %d (%s), uid %d, over what %s governs: ", a.PID, printable(a.Comm), a.EUID, a.Target.Name())
	switch a.Held {
	case topology.AllCaps:
		b.WriteString("all capabilities\n\n")
	case 0:
		b.WriteString("no capability\n\n")
	default:
		fmt.Fprintf(&b, "%d of %d capabilities\n\n", a.Held.Len(), topology.AllCaps.Len())
	}
	writePath(&b, a)
	b.WriteByte('\n')
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "holds\t%s\n", a.Held)
	if a.Raisable != 0 {
		fmt.Fprintf(t, "may raise\t%s, which it is permitted: capset(2)\n", a.Raisable)
	}
	if a.Gainable != 0 {
		fmt.Fprintf(t, "may gain\tat most %s: by execve(2) of a program that is set-user-ID root or has file capabilities\n", a.Gainable)
	}
	fmt.Fprintf(t, "may join\t%s\n", joinText(a))
	for _, note := range notesOn(a) {
		fmt.Fprintf(t, "note\t%s\n", note)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writePath draws the way from where it was decided, on top, down to the target.
func writePath(b *strings.Builder, a *dump.Actor) {
	type line struct{ name, note string }
	var lines []line
	last := a.Steps[len(a.Steps)-1]
	if last.Rule == topology.CapCreator {
		lines = append(lines, line{nameOf(a.User), "the task's own"})
	}
	for i := len(a.Steps) - 1; i >= 0; i-- {
		s := a.Steps[i]
		name := nameOf(s.NS)
		if s.NS == nil {
			name = "(out of sight)"
		}
		note := pathNote(a, s)
		if s.NS == a.Target {
			note = strings.TrimPrefix(note+"; the target, which governs itself", "; ")
		}
		lines = append(lines, line{name, note})
	}
	if a.Target.Type != topology.User {
		lines = append(lines, line{a.Target.Name(), "the target"})
	}
	width := 0
	for i := range lines {
		if i > 0 {
			lines[i].name = strings.Repeat("   ", i-1) + "└─ " + lines[i].name
		}
		width = max(width, utf8.RuneCountInString(lines[i].name))
	}
	for _, l := range lines {
		b.WriteString(strings.TrimRight(fmt.Sprintf("%-*s   %s", width, l.name, l.note), " ") + "\n")
	}
	if !a.Unsure && (last.Rule == topology.CapNone || last.Rule == topology.CapHidden) {
		fmt.Fprintf(b, "%s, the task's own, is not above it\n", nameOf(a.User))
	}
}

// pathNote says what a step decided.
func pathNote(a *dump.Actor, s topology.CapStep) string {
	creator := "creator unknown"
	if s.Known {
		creator = fmt.Sprintf("created by uid %d", s.Creator)
	}
	switch s.Rule {
	case topology.CapOwn:
		return "the task's own: its effective capabilities hold here and below"
	case topology.CapCreator:
		return creator + ", the task's, from the task's own: all capabilities here and below"
	case topology.CapNone:
		return ""
	case topology.CapHidden:
		return "outside the user namespace of who asks"
	}
	if s.Known && s.Creator == a.EUID && s.NS.Parent != nil && s.NS.Parent != a.User {
		return creator + ", the task's, but not from the task's own"
	}
	return creator
}

func joinText(a *dump.Actor) string {
	missing := sentence(texts(a.Join.Missing))
	switch {
	case a.Join.OK && a.Join.UnshareFS:
		return "yes, once the thread has left its root directory to the others: unshare(CLONE_FS)"
	case a.Join.OK:
		return "yes"
	case a.Join.Via != nil:
		return fmt.Sprintf("yes, after it has joined %s; directly it lacks %s", a.Join.Via.Name(), missing)
	}
	kinds := map[bool]string{true: "cannot be said: ", false: "no, missing: "}
	for _, l := range a.Join.Missing {
		if l.Kind != topology.LackCap && l.Kind != topology.LackKnowledge {
			kinds[false] = "no: "
		}
	}
	return kinds[a.Join.Unsure] + missing
}

// notesOn are what the rules do not say.
func notesOn(a *dump.Actor) []string {
	var notes []string
	if a.Zombie() {
		notes = append(notes, "the task has ended, and does nothing any more")
	}
	if a.Unsure {
		notes = append(notes, "something was out of sight: it may hold more than this")
	}
	if a.NoNewPrivs {
		notes = append(notes, "no_new_privs is set: it gains nothing by execve(2)")
	}
	if a.Seccomp {
		notes = append(notes, "a seccomp filter may refuse what its capabilities allow")
	}
	if a.Securebits > 0 {
		notes = append(notes, fmt.Sprintf("securebits are %#x: see capabilities(7)", a.Securebits))
	}
	return notes
}
