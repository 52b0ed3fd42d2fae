//go:build linux

package dump

import (
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
	root := nest(t)
	a := fork(t, root, nsfs.User|nsfs.UTS)
	b := fork(t, a, 0)
	hostname(t, a, "recheck")
	var wrong *node
	g, err := run(t.Context(), Options{}, func(d *dumper) error {
		d.root = root.PID()
		if err := d.scanTree(TaskReference{nsfs.TaskLocator{PID: d.root}}); err != nil {
			return err
		}
		for _, task := range d.tasks {
			if d.look == 1 && task.pid == b.PID() {
				wrong = task.nodes[nsfs.InUTS]
				wrong.id++ // it was another
				wrong.owner = nil
			}
		}
		return nil
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
			if n == nil || cmp.Diff(want, n.Pins) != "" {
				t.Errorf("%s, left to pid %d: %+v", ref, b.PID(), n)
			}
		})
	}
}
