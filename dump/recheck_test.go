//go:build linux

package dump

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/test/require"
	"github.com/renest/renest/topology"
)

// TestRecheck has a namespace end, and its number go to another, between the
// reading of two tasks: as they say they share it.
func TestRecheck(t *testing.T) {
	asUser(t)
	require.That(t, "nsid", nsfs.HaveNSID(testProc(t)))
	for _, tt := range []struct {
		name string
		scan func(d *dumper, a, b int) (*node, error) // what a was found in
	}{
		{"both read the number", func(d *dumper, a, b int) (*node, error) {
			d.pidfds = false
			err := d.readFresh([]int{a, b})
			return changed(d, b), err
		}},
		{"the first read the number", func(d *dumper, a, b int) (*node, error) {
			pidfds := d.pidfds
			d.pidfds = false
			err := d.readFresh([]int{a})
			d.pidfds = pidfds
			n := changed(d, a)
			return n, errors.Join(err, d.readFresh([]int{a, b}))
		}},
		{"both were opened", func(d *dumper, a, b int) (*node, error) {
			err := d.readFresh([]int{a})
			n := changed(d, a)
			return n, errors.Join(err, d.readFresh([]int{a, b}))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := nest(t)
			a := fork(t, root, nsfs.User|nsfs.UTS)
			b := fork(t, a, 0)
			hostname(t, a, "recheck")
			var wrong *node
			g, err := run(t.Context(), Options{}, func(d *dumper) error {
				if d.root = root.PID(); d.look > 1 || wrong != nil {
					return d.scanTree(TaskReference{nsfs.TaskLocator{PID: d.root}})
				}
				var err error
				wrong, err = tt.scan(d, a.PID(), b.PID())
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			wantComplete(t, g)
			if err := g.Validate(); err != nil {
				t.Error(err)
			}
			uts := own(g, topology.UTS)
			if len(uts) != 1 || uts[0].UTS == nil || uts[0].UTS.NodeName != "recheck" || uts[0].ID == uint64(wrong.id) {
				t.Fatalf("uts namespaces: %+v", uts)
			}
			want := []topology.Pin{{Kind: topology.PinTask, PID: a.PID()}, {Kind: topology.PinTask, PID: b.PID()}}
			if diff := cmp.Diff(want, uts[0].Pins); diff != "" {
				t.Errorf("pins (-want +got):\n%s", diff)
			}
		})
	}
}

// changed makes of what a task was found in another namespace that had its number.
func changed(d *dumper, pid int) *node {
	for _, t := range d.tasks {
		if t.pid == pid {
			n := t.nodes[nsfs.InUTS]
			n.id++
			n.owner = nil
			return n
		}
	}
	return nil
}

// TestHandedOn has a task leave its namespace to a child that is not shown yet,
// after it was shown itself and before it is read.
func TestHandedOn(t *testing.T) {
	asUser(t)
	for _, tt := range []struct {
		name  string
		alive bool
		leave func(t *testing.T, a *agent.Agent)
	}{
		{"it ends", false, func(t *testing.T, a *agent.Agent) { exit(t, a) }},
		{"it goes elsewhere", true, func(t *testing.T, a *agent.Agent) {
			call(t, a, "unshare", unix.SYS_UNSHARE, agent.Int(unix.CLONE_NEWUTS))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := fork(t, fork(t, nest(t), nsfs.User), nsfs.UTS)
			task, err := testProc(t).Task(a.PID())
			if err != nil {
				t.Fatal(err)
			}
			defer task.Close()
			ref, err := task.Ref(nsfs.InUTS)
			if err != nil {
				t.Fatal(err)
			}
			var b *agent.Agent
			g, err := run(t.Context(), Options{}, func(d *dumper) error {
				if b != nil {
					return d.scanAll()
				}
				pids, err := d.proc.PIDs(nil)
				if err != nil {
					return err
				}
				b = fork(t, a, 0)
				tt.leave(t, a)
				err = d.readFresh(pids)
				if tt.alive {
					d.lostTasks = 0 // of others, on a busy host
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			n := g.Index().Lookup(topology.UTS, ref.Ino)
			want := []topology.Pin{{Kind: topology.PinTask, PID: b.PID()}}
			if n == nil || cmp.Diff(want, ownPins(t, n)) != "" {
				t.Errorf("%s, left to pid %d: %+v", ref, b.PID(), n)
			}
		})
	}
}
