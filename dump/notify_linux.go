package dump

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/checkpoint-restore/go-criu/v7"

	"github.com/renest/renest/dump/forecast"
	"github.com/renest/renest/topology"
)

// ErrVeto is returned, wrapped, by a hook that fails CRIU on purpose.
var ErrVeto = errors.New("vetoed by renest")

// Notify is what renest does at a dump of CRIU's, by the notifications of go-criu
// or from an action script. Before the tree is frozen it vetoes a dump that no
// restore would follow; when CRIU is done, with the tree still frozen, it writes the
// topology beside CRIU's images, and may veto once more: the tree then runs on.
//
// It has to be in the namespaces that CRIU runs in, with the privileges that CRIU
// has. CRIU has to be told to notify: opts.NotifyScripts.
type Notify struct {
	criu.NoNotify

	PID int    // of the tree's root, as in opts.Pid: the protocol does not tell
	Dir string // of the images
	// Save writes the topology into the folder, as images.WriteBeside does. Required.
	Save func(dir string, g *topology.Graph) error

	Mode Mode
	// Say is told what CRIU refuses and loses, and what a mode other than Enforce
	// lets pass. Optional.
	Say func(line string)
	// Dump says how the topology is looked at.
	Dump Options
	// Promise is set by PreDump. PostDump vetoes a loss of another kind than it has;
	// without one it does not.
	Promise *Promise
}

var _ criu.Notify = (*Notify)(nil)

// hookTimeout is how long a hook may take: a tree is not to stay frozen for a
// defect.
const hookTimeout = 20 * time.Second

// PreDump is called before the tree is looked at or frozen.
func (n *Notify) PreDump() error {
	return n.Mode.Guard(n.say, func() error {
		o := n.Dump
		o.CopiedBinds = true
		var fresh FreshNet
		o.Fresh = &fresh
		g, findings, err := n.look("before the dump", o)
		if g != nil {
			n.Promise = promise(findings)
			n.Promise.Fresh = fresh
		}
		return err
	})
}

// PostDump is called after a dump that succeeded, with the tree frozen.
func (n *Notify) PostDump() error {
	return n.Mode.Guard(n.say, func() error {
		o := n.Dump
		o.Still = true
		if n.Promise != nil {
			o.Fresh = &n.Promise.Fresh
		}
		g, findings, err := n.look("with the tree frozen", o)
		if err != nil {
			return err
		}
		if err := n.Save(n.Dir, g); err != nil {
			return fmt.Errorf("write the topology of pid %d beside CRIU's images: %w", n.PID, err)
		}
		return n.Promise.broken(findings)
	})
}

// look reads the topology and judges it.
func (n *Notify) look(when string, o Options) (*topology.Graph, []forecast.Finding, error) {
	ctx, cancel := context.WithTimeout(context.Background(), hookTimeout)
	defer cancel()
	o.Offspring = true
	g, err := Tree(ctx, n.PID, o)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", when, err)
	}
	findings, err := forecast.Of(g)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", when, err)
	}
	var fatal error
	for _, f := range findings {
		if f.Verdict == forecast.Destroys && fatal == nil {
			fatal = fmt.Errorf("%s: %s: way out: %s: %w", when, f, f.WayOut(), ErrVeto)
			continue
		}
		if f.Verdict == forecast.Refuses && o.Still {
			continue // CRIU has not, having been told that a namespace is external, as runc does
		}
		n.say(f.String() + ": way out: " + f.WayOut())
	}
	return g, findings, fatal
}

func (n *Notify) say(line string) {
	if n.Say != nil {
		n.Say(line)
	}
}
