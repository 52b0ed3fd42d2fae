package dump

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// userMaps are a user namespace's maps: in the caller's numbers, or in those of
// its parent, whichever was read.
type userMaps struct {
	seen bool // uid and gid are in the caller's numbers
	idMaps
	setgroups string
	done      bool // both of the following are there
	rel, abs  idMaps
}

type idMaps struct{ uid, gid, projid []topology.Extent }

// each returns a map for each of those of m and p by f.
func (m *idMaps) each(f func(m, p []topology.Extent) []topology.Extent, p *idMaps) idMaps {
	return idMaps{f(m.uid, p.uid), f(m.gid, p.gid), f(m.projid, p.projid)}
}

// everyID is the map of the caller's own user namespace, in its own numbers.
var everyID = []topology.Extent{{Count: topology.NoID}}

// usersByTask reads the maps of the user namespaces in which there is a task, on all
// cores but those that are busy with other things.
func (d *dumper) usersByTask(busy int) error {
	var users []*node
	for _, n := range d.nodes {
		if n.ref.Type == nsfs.User && n != d.own[nsfs.InUser] && n.member.pid != 0 {
			users = append(users, n)
		}
	}
	_, err := d.parallelOn(max(1, runtime.GOMAXPROCS(0)-busy), len(users), func(_ *reader, i int) { d.userByTask(users[i]) })
	return err
}

// userByTask reads the maps of n through a task in it, whose files show them in
// the caller's numbers (uid_m_show, kernel/user_namespace.c). Where the task is
// gone, an agent will do it.
func (d *dumper) userByTask(n *node) {
	t, err := d.task(n.member)
	if err != nil {
		return
	}
	defer t.Close()
	if ref, err := t.Ref(nsfs.InUser); err != nil || ref != n.ref {
		return
	}
	uid, err1 := t.UIDMap()
	gid, err2 := t.GIDMap()
	projid, err3 := t.ProjIDMap()
	setgroups, err4 := t.Setgroups()
	if err1 != nil || err2 != nil || err3 != nil || err4 != nil {
		return
	}
	n.maps = &userMaps{seen: true, idMaps: idMaps{extents(uid), extents(gid), extents(projid)}, setgroups: setgroups}
}

func extents(m []nsfs.Extent) []topology.Extent {
	var out []topology.Extent
	for _, e := range m {
		out = append(out, topology.Extent(e))
	}
	return out
}

// holeBatch is how many user namespaces are entered between two words to an agent.
const holeBatch = 64

// How much of a map is read, in pages: the longest has 340 lines of 33 bytes, most
// have one, for which one eighth is enough.
const (
	shortMap = 0
	longMap  = 4
)

// userHoles reads the maps of user namespaces without a task, each by a child of an
// agent, that enters it: it is then shown them in the parent's numbers.
func (v *inside) userHoles(nodes []*node) error {
	if len(nodes) == 0 {
		return nil
	}
	a, err := v.fork(false)
	if err != nil {
		return err
	}
	for len(nodes) > 0 {
		n := min(holeBatch, len(nodes))
		long, err := v.holeBatch(a, nodes[:n], shortMap)
		if err != nil {
			return err
		}
		for i := range long {
			if _, err := v.holeBatch(a, long[i:i+1], longMap); err != nil {
				return err
			}
		}
		nodes = nodes[n:]
	}
	if err := a.Exit(v.d.ctx); err != nil {
		return &lostError{err}
	}
	return nil
}

// holeBatch returns those whose maps are longer than what it reads.
func (v *inside) holeBatch(a *agent.Agent, nodes []*node, pages int) (long []*node, err error) {
	got, err := v.open(nodes)
	if err != nil {
		return nil, err
	}
	var p agent.Program
	holes := make([]hole, len(nodes))
	for i, o := range got {
		if o.err == nil {
			holes[i].ask(v.crew, &p, o.fd, pages)
		}
	}
	if err := a.Run(v.d.ctx, &p); err != nil {
		return nil, &lostError{err}
	}
	for i, n := range nodes {
		err := got[i].err
		if err == nil {
			n.maps, err = holes[i].take()
		}
		if errors.Is(err, errLong) && pages == shortMap {
			long = append(long, n)
			continue
		}
		v.failed(n, "id maps", err)
	}
	return long, nil
}

// hole is the look at a user namespace that no task is in.
type hole struct {
	spawned, entered       *agent.Call
	uid, gid, projid, deny func() ([]byte, error)
}

func (h *hole) ask(crew *agent.Crew, p *agent.Program, fd int, pages int) {
	var child agent.Program
	h.entered = child.Call("setns", unix.SYS_SETNS, agent.Int(fd), agent.Int(unix.CLONE_NEWUSER))
	h.uid = readFile(&child, "self/uid_map", pages)
	h.gid = readFile(&child, "self/gid_map", pages)
	h.projid = readFile(&child, "self/projid_map", pages)
	h.deny = readFile(&child, "self/setgroups", pages)
	h.spawned = p.Spawn(crew, "spawn", agent.ForkOptions{}, &child).MayFail()
	p.Call("close", unix.SYS_CLOSE, agent.Int(fd)).MayFail()
}

func (h *hole) take() (*userMaps, error) {
	for _, c := range []*agent.Call{h.spawned, h.entered} {
		if err := c.Err(); err != nil {
			return nil, err
		}
	}
	m := &userMaps{}
	var err error
	for _, part := range []struct {
		to   *[]topology.Extent
		read func() ([]byte, error)
	}{{&m.uid, h.uid}, {&m.gid, h.gid}, {&m.projid, h.projid}} {
		if *part.to, err = parseMap(part.read); err != nil {
			return nil, err
		}
	}
	b, err := h.deny()
	if err != nil {
		return nil, err
	}
	m.setgroups = string(bytes.TrimSpace(b))
	return m, nil
}

func parseMap(read func() ([]byte, error)) ([]topology.Extent, error) {
	b, err := read()
	if err != nil {
		return nil, err
	}
	m, err := nsfs.ParseIDMap(b)
	return extents(m), err
}

// userStates puts every map into the parent's numbers, which is how it has to be
// written to be made again.
func (d *dumper) userStates() {
	for _, n := range d.nodes {
		if n.ref.Type != nsfs.User || n.external {
			continue
		}
		m, p := d.mapsOf(n), d.mapsOf(n.owner)
		if m == nil || p == nil {
			continue // and in Missing: out of sight, or not to be entered
		}
		s := &topology.UserState{
			UIDMap: m.rel.uid, GIDMap: m.rel.gid, ProjIDMap: m.rel.projid,
			Setgroups: m.setgroups, OwnerUID: n.ownerUID, Sysctls: n.limits,
		}
		if size(m.rel.uid) != size(m.uid) || size(m.rel.gid) != size(m.gid) || size(m.rel.projid) != size(m.projid) {
			d.miss.add(n.ref.String(), "id maps: not all of them lie in those of the parent, as they are seen from here")
		}
		if uid, ok := topology.MapUp(p.abs.uid, n.ownerUID); ok {
			s.OwnerUID = uid
		} else {
			d.miss.add(n.ref.String(), fmt.Sprintf("creator: uid %d of here has no number in the parent", n.ownerUID))
		}
		n.out.User = s
	}
}

// mapsOf returns the maps of n in both numberings, nil where they are not known.
func (d *dumper) mapsOf(n *node) *userMaps {
	if n == nil {
		return nil
	}
	if n == d.own[nsfs.InUser] {
		m := &userMaps{done: true}
		m.abs = idMaps{everyID, everyID, everyID}
		return m
	}
	m := n.maps
	if m == nil || m.done {
		return m
	}
	p := d.mapsOf(n.owner)
	if p == nil {
		return nil
	}
	m.done = true
	if m.seen {
		m.abs, m.rel = m.idMaps, m.each(topology.Relativize, &p.abs)
	} else {
		m.rel, m.abs = m.idMaps, m.each(topology.Compose, &p.abs)
	}
	return m
}

// size is how many ids a map maps.
func size(m []topology.Extent) (n uint64) {
	for _, e := range m {
		n += uint64(e.Count)
	}
	return n
}
