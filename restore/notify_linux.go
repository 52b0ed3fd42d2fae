package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/checkpoint-restore/go-criu/v7"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/dump/forecast"
	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// Notify is what renest does at a restore of CRIU's, by the notifications of go-criu
// or from an action script. It reads the topology that lies beside CRIU's images
// before anything is done, and when all tasks exist and none runs, compares what is
// there with what CRIU can bring back of it (see forecast.Restored). What differs
// fails the restore; what CRIU cannot bring back is said.
//
// It has to be in the namespaces that CRIU runs in, with the privileges that CRIU
// has. CRIU has to be told to notify: opts.NotifyScripts.
type Notify struct {
	criu.NoNotify

	Dir string // of the images
	// Load reads the topology from the folder, as images.ReadFile does. Required.
	// An error that is fs.ErrNotExist says that there is none, which is no fault.
	Load func(dir string) (*topology.Graph, error)

	Mode dump.Mode
	// Say is told what was found. Optional.
	Say func(line string)
	// Dump says how the result is looked at.
	Dump dump.Options
	// Report is what PostRestore has found, in one line, for PostResume to say.
	Report string
}

var _ criu.Notify = (*Notify)(nil)

// hookTimeout is how long a hook may take.
const hookTimeout = 20 * time.Second

// PreRestore is called before anything is done: an image that is damaged, or makes
// no sense, is found now.
func (n *Notify) PreRestore() error {
	return n.Mode.Guard(n.say, func() error {
		g, err := n.load()
		if err != nil || g == nil {
			return err
		}
		_, err = forecast.Restored(g)
		return err
	})
}

// PostRestore is called when all tasks exist, before they run. The pid is that of
// the root task. An action script of a CRIU that was given a pid namespace to restore
// into, as runc gives it that of a pod, is born in that, and its /proc is of another:
// then it is said that nothing is verified, and that is no error.
func (n *Notify) PostRestore(pid int32) error {
	return n.Mode.Guard(n.say, func() error {
		n.Report = "nothing is verified"
		g, err := n.load()
		if err != nil {
			return err
		}
		if g == nil {
			n.say("no topology beside CRIU's images, which were dumped without renest: nothing is verified")
			return nil
		}
		return n.verify(g, int(pid))
	})
}

// PostResume is called when the tasks run. It says what was found before, and nothing
// where that is not known.
func (n *Notify) PostResume() error {
	if n.Mode != dump.Off && n.Report != "" {
		n.say("post-resume: the tree runs: " + n.Report)
	}
	return nil
}

// load reads the topology, nil where there is none.
func (n *Notify) load() (*topology.Graph, error) {
	g, err := n.Load(n.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the topology beside CRIU's images: %w", err)
	}
	return g, nil
}

func (n *Notify) verify(g *topology.Graph, pid int) error {
	ctx, cancel := context.WithTimeout(context.Background(), hookTimeout)
	defer cancel()
	want, err := forecast.Restored(g)
	if err != nil {
		return err
	}
	o := n.Dump
	o.Offspring = true
	// listns(2) would show what CRIU itself has made on the way and still holds.
	o.Source = dump.Proc
	live, err := dump.Tree(ctx, pid, o)
	if errors.Is(err, nsfs.ErrForeignProc) {
		// setns(2) to a pid namespace is for children: those of CRIU's, this one too.
		n.say("CRIU restores into a pid namespace that it was given, and has its hooks run in there: nothing is verified")
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at what CRIU has restored: %w", err)
	}
	_, err = topology.Isomorphic(want, live, topology.CompareOptions{Tasks: true, IgnoreTime: true, IgnoreSysctls: true})
	if err != nil {
		return fmt.Errorf("what CRIU has restored is not what was dumped: %w: %w", err, dump.ErrVeto)
	}
	findings, err := forecast.Of(g)
	if err != nil {
		return err
	}
	for _, f := range findings {
		n.say(f.String())
	}
	verified := fmt.Sprintf("verified: %d namespaces and %d tasks are as CRIU can restore them", made(live), len(live.Tasks))
	n.say(verified)
	n.Report = verified + "; not compared: " + strings.Join(apart(g, live, len(findings)), ", ")
	return nil
}

// apart lists what verification leaves out.
func apart(image, live *topology.Graph, losses int) []string {
	list := []string{"clocks, of which CRIU makes new ones", "settings"}
	if losses > 0 {
		list = append(list, fmt.Sprintf("%d losses of CRIU's, which were said before", losses))
	}
	for _, g := range []*topology.Graph{image, live} {
		if len(g.Header.Missing) > 0 {
			list = append(list, fmt.Sprintf("what could not be seen (%s)", g.Header.Missing[0]))
			break
		}
	}
	return list
}

// made counts the namespaces that are not the host's.
func made(g *topology.Graph) int {
	count := 0
	for _, n := range g.Namespaces {
		if !n.External {
			count++
		}
	}
	return count
}

func (n *Notify) say(line string) {
	if n.Say != nil {
		n.Say(line)
	}
}
