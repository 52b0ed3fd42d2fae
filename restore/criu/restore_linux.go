package criu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	dumpcriu "github.com/renest/renest/dump/criu"
	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
)

// Images returns how files of a folder of CRIU images have to read so that CRIU
// restores in its own namespaces of the given types, by name.
type Images func(dir string, types []topology.Type) (map[string][]byte, error)

// Options say what to restore, and how.
type Options struct {
	Graph  *topology.Graph  // nstree.img
	Record *dumpcriu.Record // of the same folder
	Dir    string           // the folder
	Share  Images           // required
	CRIU   string           // the program; "criu" in PATH by default
	Config []string         // lines of a configuration file of CRIU's
	Name   string           // of the tree, as of [restore.Options]
	// Root is where the root directory of the outermost tasks is, where that is
	// not the one in the record.
	Root string
	// Sibling has the calling process be the parent of the outermost first task (-S of
	// criu restore), which it has to wait for. Else, and where that parent ends, the
	// init of the pid namespace is, or the next subreaper.
	Sibling bool
}

// Result is a restored tree.
type Result struct {
	Tree  *restore.Tree
	PIDs  []int    // of each layer's first task
	Notes []string // what is not as it was
}

// Restore brings a tree back that [dumpcriu.Dump] dumped: its namespaces, its tasks,
// and the namespaces above. It is looked at and compared before its tasks run on; on
// an error nothing is left of it.
func Restore(ctx context.Context, o Options) (*Result, error) {
	r, err := open(o)
	if err != nil {
		return nil, fmt.Errorf("restore with CRIU: %w", err)
	}
	defer r.close()
	if err := r.plan(ctx); err != nil {
		return nil, fmt.Errorf("%s cannot be restored here:\n%w", o.Dir, err)
	}
	tree, err := r.run(ctx)
	if err != nil {
		return nil, fmt.Errorf("restore with CRIU: %w", err)
	}
	result := &Result{Tree: tree, Notes: r.notes}
	for _, l := range r.done {
		result.PIDs = append(result.PIDs, l.pid)
	}
	return result, nil
}

type restorer struct {
	o        Options
	proc     *nsfs.Proc
	layers   []*layer
	done     []*layerRun // those whose tasks exist
	prepared *restore.Plan
	standing *restore.Standing
	// live are descriptors of the namespaces that there are already, by those of
	// the image.
	live  map[*topology.Namespace]*nsfs.NS
	notes []string
	// found says which live namespace each of the image is, once all are there.
	found map[*topology.Namespace]*topology.Namespace
	// clocks are the live time namespaces that CRIU has made for the host's.
	clocks map[*topology.Namespace]bool
}

func open(o Options) (*restorer, error) {
	if o.CRIU == "" {
		o.CRIU = "criu"
	}
	var err error
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	path, version, err := dumpcriu.Find(o.CRIU)
	if err != nil {
		return nil, err
	}
	o.CRIU = path
	r := &restorer{o: o, live: map[*topology.Namespace]*nsfs.NS{}}
	if o.Record.CRIU/100 != version/100 {
		r.note("the images are of CRIU %s, and this is %s", dumpcriu.VersionText(o.Record.CRIU), dumpcriu.VersionText(version))
	}
	if r.proc, err = nsfs.OpenProc(); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *restorer) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

func (r *restorer) close() {
	for _, ns := range r.live {
		_ = ns.Close()
	}
	_ = r.proc.Close()
}

// plan finds every reason why it cannot be done.
func (r *restorer) plan(ctx context.Context) error {
	var err error
	if r.layers, err = layers(r.o.Graph, r.o.Record); err != nil {
		return err
	}
	if r.o.Root != "" {
		r.layers[0].record.Root = r.o.Root
	}
	host, err := restore.ReadHost()
	if err != nil {
		return err
	}
	var errs []error
	if !host.Privileged {
		errs = append(errs, errors.New("it takes root with all capabilities: be root"))
	}
	for _, l := range r.layers {
		errs = append(errs, r.judge(l)...)
	}
	r.prepared, err = restore.NewPlan(beforehand(r.o.Graph, r.layers), restore.PlanOptions{Privileged: host.Privileged})
	if err == nil {
		if err = host.Resolve(ctx, r.prepared); err == nil {
			err = restore.Preflight(r.prepared, host)
		}
	}
	return errors.Join(append(errs, err)...)
}

// judge returns what stands against one layer.
func (r *restorer) judge(l *layer) []error {
	var errs []error
	dir := filepath.Join(r.o.Dir, l.record.Dir)
	if _, err := os.Stat(filepath.Join(dir, "inventory.img")); err != nil {
		errs = append(errs, fmt.Errorf("%s holds no images of CRIU: %w", dir, err))
	}
	mnt := l.in(topology.Mnt)
	if slices.Contains(l.made, mnt) {
		if root := l.record.Root; root == "" {
			errs = append(errs, fmt.Errorf("where the root directory of task %d is, is not known: say so (--root PATH)", l.root.PID))
		} else if st, err := os.Stat(root); l.mounts == nil && (err != nil || !st.IsDir()) {
			errs = append(errs, fmt.Errorf("the root directory of task %d was %s, which is none here: say where it is (--root PATH)", l.root.PID, root))
		}
	} else if !mnt.External || !l.in(topology.User).External {
		errs = append(errs, fmt.Errorf("task %d shares %s with what is above it, the mounts of which are not restored", l.root.PID, mnt.Name()))
	}
	if user := l.in(topology.User); !user.External {
		if _, ok := topology.MapDown(user.User.UIDMap, 0); !ok {
			errs = append(errs, fmt.Errorf("%s does not map uid 0, as which CRIU runs in it", user.Name()))
		}
	}
	return errs
}

// run makes what CRIU does not, and has CRIU make the rest.
func (r *restorer) run(ctx context.Context) (tree *restore.Tree, err error) {
	if r.standing, err = restore.Execute(ctx, r.prepared, restore.Options{Name: r.o.Name}); err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, r.standing.Close())
		if tree == nil {
			r.reap()
		}
	}()
	r.notes = append(r.notes, r.standing.Notes...)
	if err := r.openMade(); err != nil {
		return nil, err
	}
	if err := r.layer(ctx, 0); err != nil {
		return nil, err
	}
	if err := r.adopt(); err != nil {
		return nil, err
	}
	return r.standing.Commit(ctx)
}

// openMade opens what stands already.
func (r *restorer) openMade() error {
	index := r.o.Graph.Index()
	for _, b := range r.standing.Bindings {
		typ, ino, err := topology.ParseName(b.Image)
		if err != nil {
			return err
		}
		n := index.Lookup(typ, ino)
		ns, err := nsfs.Open(b.Path)
		if err != nil {
			return fmt.Errorf("%s: %w", b.Image, err)
		}
		r.live[n] = ns
	}
	return nil
}

// openRestored opens what CRIU has made for the root of a layer.
func (r *restorer) openRestored(l *layer, pid int) error {
	t, err := r.proc.Task(pid)
	if err != nil {
		return err
	}
	defer t.Close()
	for _, n := range l.made {
		if n != l.in(n.Type) {
			continue // of another task of the layer
		}
		if r.live[n], err = t.Open(nsfs.Link(topology.LinkOf(n.Type))); err != nil {
			delete(r.live, n)
			return err
		}
	}
	return nil
}

// adopt makes the restored tasks part of the tree that is to stand.
func (r *restorer) adopt() error {
	for _, l := range r.done {
		var list []restore.Binding
		for _, n := range l.layer.made {
			b := restore.Binding{Image: n.Name(), PID: l.pid}
			if live := r.found[n]; live != nil {
				b.Live, b.NSID = live.Name(), live.ID
			}
			if n == l.layer.in(n.Type) {
				b.Path = fmt.Sprintf("/proc/%d/ns/%s", l.pid, n.Type)
			}
			list = append(list, b)
		}
		for _, pid := range r.others(l) {
			if err := r.standing.Adopt(pid, nil); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		if err := r.standing.Adopt(l.pid, list); err != nil {
			return err
		}
	}
	return nil
}

// others are the tasks of a layer that do not end with its first one, nor with a pid
// namespace that is made for them: those in the caller's own.
func (r *restorer) others(l *layerRun) (pids []int) {
	if l.layer.init() || !l.layer.in(topology.PID).External {
		return nil
	}
	for _, t := range l.layer.tasks[1:] {
		if pid, err := r.find(t); err == nil && t.TID == t.PID {
			pids = append(pids, pid)
		}
	}
	return pids
}

// reap waits for the first task where that is a child of the calling process, of a tree
// that was not to stand: closing it has ended all tasks (see [restore.Standing.Guard]).
func (r *restorer) reap() {
	for _, l := range r.done {
		if l.parent == nil || !l.parent.own {
			continue
		}
		for {
			if _, err := unix.Wait4(l.pid, nil, 0, nil); err != unix.EINTR {
				break
			}
		}
	}
}
